/**
 * Image classification: a class for each picture.
 * @module
 */
import {
  digestOf,
  type ImageBatch,
  imageBatches,
  imageInput,
  preparePictures,
} from '../../data/images/batch.ts';
import { openDecoder } from '../../data/images/decode.ts';
import { listPictures } from '../../data/images/labelled.ts';
import { openProcessor } from '../../data/images/processor.ts';
import { type Classes, classes, type Labelled } from './classes.ts';
import type { Task } from './task.ts';

interface Images extends Labelled {
  readonly batches: readonly ImageBatch[];
}

export const imageClassification: Task<Images, Classes> = {
  ...classes,
  architectures: /ForImageClassification(WithTeacher)?$/,

  async read(file, { model, config, limit, progress }) {
    const { folder, inputs } = model;
    const processor = openProcessor(folder.folder);
    const input = imageInput(inputs, processor);
    const { image, label } = config.data;
    const columns = { image, label, ...(limit !== undefined && { limit }) };
    const listed = await listPictures(file, columns, folder.config?.labels);
    const prepared = await preparePictures(listed, await openDecoder(), processor, progress);
    return {
      count: listed.length,
      batches: imageBatches(prepared, input),
      labels: prepared.labels,
      sha256: digestOf(prepared),
    };
  },
};
