/**
 * The picture of a gradual run's trainings.
 * @module
 */
import type { RunRecord } from '../record.ts';
import { times } from './format.ts';
import { axis, FONT, INK, line, niceRange, SERIES, SOFT, SURFACE, tick } from './marks.ts';
import { lossValue, trainingLine } from './story.ts';
import type { Picture } from './svg.ts';

/**
 * The training loss over the steps, one target after the other in the order in which they were trained, and the
 * validation loss beside it. The axis is logarithmic: losses fall by factors.
 */
export function lossCurves(record: RunRecord, id: string, width: number): Picture {
  const trained = record.targets
    .flatMap(({ target, train }) => (train === undefined ? [] : [{ target, train }]))
    .toSorted((a, b) => a.target - b.target);
  let before = 0;
  const parts = trained.map(({ target, train }) => {
    const shifted = (points: typeof train.curve) =>
      points
        .filter(({ loss }) => loss > 0)
        .map(({ step, loss }) => [before + step, Math.log10(loss)] as const);
    const part = {
      label: times(target),
      from: before,
      curve: shifted(train.curve),
      validation: shifted(train.validation),
    };
    before += train.steps;
    return part;
  });
  const exponents = parts.flatMap(({ curve, validation }) => [...curve, ...validation].map(([, y]) => y));
  const yRange = niceRange(Math.min(0, ...exponents), Math.max(-1, ...exponents), 5);
  const xRange = niceRange(0, Math.max(1, before), width < 500 ? 4 : 8);
  const option = {
    grid: { left: 60, right: 20, top: 26, bottom: 48 },
    title: {
      text: 'loss',
      left: 0,
      top: 3,
      padding: 0,
      textStyle: { color: SOFT, fontSize: FONT, fontWeight: 400 },
    },
    xAxis: axis({
      ...xRange,
      max: Math.max(1, before),
      name: 'training steps',
      nameGap: 28,
      axisLabel: { formatter: tick },
      splitLine: { show: false },
    }),
    yAxis: axis({ ...yRange, axisLabel: { formatter: (y: number) => lossValue(10 ** y) } }),
    series: [
      ...parts.slice(1).map(({ from }) =>
        line(
          [
            [from, yRange.min],
            [from, yRange.max],
          ],
          'var(--guide)',
          'dashed',
          1.5,
        ),
      ),
      ...parts.map(({ curve }) => line(curve, SERIES[0], 'solid', 2)),
      ...parts.map(({ validation }) => ({
        type: 'scatter',
        silent: true,
        z: 5,
        symbolSize: 8,
        itemStyle: { color: SERIES[1], borderColor: SURFACE, borderWidth: 1.5, opacity: 1 },
        data: validation,
      })),
      {
        type: 'scatter',
        silent: true,
        z: 4,
        symbolSize: 0,
        data: parts.map(({ from, label }) => ({ value: [from, yRange.max], name: label })),
        label: {
          show: true,
          position: 'right',
          offset: [4, 8],
          color: INK,
          fontSize: FONT,
          fontWeight: 600,
          formatter: ({ name }: { readonly name: string }) => name,
        },
      },
    ],
  };
  const spoken = trained.map(({ target, train }) => `${times(target)}: ${trainingLine(train)}.`);
  return {
    id,
    title: 'Training loss after each cut',
    description: spoken.join(' '),
    width,
    height: width < 500 ? 260 : 300,
    option,
  };
}
