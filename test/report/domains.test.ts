import { expect, test } from 'vitest';
import { parseRecord, type RunRecord } from '../../src/record.ts';
import { blocksByDomain, chosenRowsLines, domainsCaption, targetsByDomain } from '../../src/report/domains.ts';
import { renderHtml } from '../../src/report/html.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { renderText } from '../../src/report/text.ts';
import { sample } from './sample.ts';

const plain = (text: string) => text;
const block = (id: string, kind: 'attention' | 'mlp', of: number, keptIndices: number[]) => ({
  id,
  kind,
  kept: keptIndices.length,
  of,
  keptIndices,
});

/** Two domains, two blocks: of heads 1, 2 and 3 that went, the ranks of 2 and 3 agree; no neuron went. */
const record: RunRecord = {
  ...sample,
  targets: [
    {
      ...sample.targets[0],
      blocks: [block('attention.0', 'attention', 4, [0]), block('mlp.0', 'mlp', 3, [0, 1, 2])],
      search: { ...sample.targets[0].search, domainLosses: [0.0123, 0.456] },
    },
  ],
  domains: {
    names: ['news', 'mails <b>'],
    combine: 'worst',
    blocks: [
      {
        id: 'attention.0',
        weights: [0.25, 0.75],
        levels: [
          { kept: 2, errors: [0.1, 0.2], rises: [0.01, 0.02] },
          { kept: 0, errors: [1, 1.1], rises: [0.3, -0.004] },
        ],
        important: [0],
        agreeing: [0, 2, 3],
      },
      { id: 'mlp.0', weights: [0.5, 0.5], levels: [], important: [], agreeing: [1] },
    ],
  },
};

test('a target tells its loss in each domain, and how many of the removed structures agree', () => {
  const [header, row] = targetsByDomain(record, plain);
  expect(header).toEqual([
    'target',
    'loss, news',
    'loss, mails <b>',
    'removed heads that agree',
    'removed neurons that agree',
  ]);
  expect(row.slice(1)).toEqual(['0.0123', '0.456', '2 of 3 (67%)', '']);
});

test('a block tells what is important in all domains, and what its removal costs in each', () => {
  const [, heads, neurons] = blocksByDomain(record, plain);
  expect(heads).toEqual(['attention.0', '1 of 4', '3 of 4', '0.25', '0.75', '+0.3', '\u22120.004']);
  expect(neurons).toEqual(['mlp.0', '0 of 3', '1 of 3', '0.50', '0.50', '', '']);
});

test('chosen rows say how, how many, and what trials gained', () => {
  const chosenRows: RunRecord['chosenRows'] = {
    select: 'adaptive',
    rows: [512],
    damping: 0.0312,
    trials: [
      { tilt: 0, draw: 0, damping: 0.01, loss: 0.02 },
      { tilt: 1, draw: 3, damping: 0.0312, loss: 0.015 },
    ],
  };
  expect(chosenRowsLines({ ...sample, chosenRows }, plain)).toEqual([
    'Chosen by trials: 512 rows, damping 0.0312',
    '2 trials: held-out loss 0.02 at first, 0.015 at best',
  ]);
  const random = { select: 'random', rows: [9, 7], damping: 0.01 } as const;
  expect(chosenRowsLines({ ...record, chosenRows: random }, plain)).toEqual([
    'Chosen at random: 9 of news, 7 of mails <b> rows, damping 0.01',
  ]);
});

test('every format shows them, escaped, and nothing where there is one domain', () => {
  expect(parseRecord(JSON.parse(JSON.stringify(record)))).toEqual(record);
  for (const render of [renderHtml, renderMarkdown, renderText]) {
    expect(render(record)).toContain('removed heads that agree');
    expect(render(sample)).not.toContain('that agree');
  }
  expect(renderHtml(record)).not.toContain('mails <b>');
  expect(renderMarkdown(record)).not.toContain('mails <b>');
  expect(renderHtml(record)).toContain(domainsCaption(record.domains!));
});
