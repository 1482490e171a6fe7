import { describe, expect, test } from 'vitest';
import { parseRecord, type RunRecord } from '../../src/record.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { renderText } from '../../src/report/text.ts';
import { sample } from './sample.ts';

const on = (hardware: Partial<RunRecord['hardware']>): RunRecord =>
  parseRecord({ ...sample, hardware: { ...sample.hardware, ...hardware } });

describe('the machine in the report', () => {
  test('a GPU with its state, as far as it was told', () => {
    const page = renderMarkdown(
      on({
        gpus: [
          {
            name: 'NVIDIA H100',
            driver: '580.95',
            uuid: 'GPU-6d6c',
            clocksMHz: { sm: 345, maxSm: 1980 },
            powerCapWatts: 700,
            temperatureCelsius: 31,
            ecc: true,
            throttled: ['gpu_idle', 'sw_power_cap'],
          },
          { name: 'another' },
        ],
        load: 0.031,
      }),
    );
    expect(page).toMatch(
      /GPU: NVIDIA H100, driver 580\.95, GPU-6d6c, 345 of 1980 MHz, at most 700 W, 31 °C, ECC on, held down by sw\\_power\\_cap\n/,
    );
    expect(page).toContain('GPU: another\n');
    expect(page).toMatch(/Load when it began: 3 % of the processors/);
  });

  test('noise is said beside the table, not in a fold, whatever the results are', () => {
    const quiet = on({ noise: [] });
    const noisy = on({
      noise: ['Another program uses the GPU.'],
      occupants: [{ pid: 7, name: '<b>train</b>' }],
    });
    for (const render of [renderMarkdown, renderText]) {
      expect(render(quiet)).not.toContain('not fit to measure on');
      expect(render(noisy)).toContain('The machine was not fit to measure on when the run began');
    }
    const page = renderMarkdown(noisy);
    expect(page.indexOf('not fit to measure on')).toBeLessThan(page.indexOf('<details>'));
    expect(page).toContain('Other program on the GPU: &lt;b&gt;train&lt;/b&gt;');
    expect(page).not.toContain('<b>');
  });
});
