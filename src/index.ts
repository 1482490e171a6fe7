/**
 * ZipLM for ONNX as a library: what the command line's verbs call.
 * @module
 */
export { type Config, configJsonSchema, loadConfig } from './config.ts';
export { InputError, MachineError } from './errors.ts';
export { type Progress, silent, type Task } from './progress.ts';
export { parseRecord, type RunRecord, readRecord, recordJsonSchema } from './record.ts';
export { renderHtml } from './report/html.ts';
export { renderMarkdown } from './report/markdown.ts';
export { renderText } from './report/text.ts';
export { compare, cutModel, evaluate, inspect, profile, run, trainModel } from './ziplm.ts';
