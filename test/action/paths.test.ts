import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { confined, confinedTree } from '../../src/action/paths.ts';

let folder: string;
let workspace: string;
let temporary: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'ziplm-paths-')));
  workspace = join(folder, 'work');
  temporary = join(folder, 'temp');
  for (const path of [workspace, temporary, join(workspace, 'model'), join(folder, 'work-of-others')])
    mkdirSync(path);
  writeFileSync(join(workspace, 'model', 'model.onnx'), '');
  writeFileSync(join(folder, 'secret'), '');
});
afterEach(() => rmSync(folder, { recursive: true }));

const allowed = () => [workspace, temporary];

test('what lies in the workspace or in the temporary folder passes, there or not yet', () => {
  const link = join(workspace, 'link');
  symlinkSync(join(workspace, 'model'), link);
  for (const path of ['model', 'out/of/nothing', './model/../model', link, workspace, join(temporary, 'x')]) {
    expect(confined(path, 'output', allowed())).toMatch(/^.*\/(work|temp)/);
  }
});

test('what lies elsewhere is refused with where it leads', () => {
  symlinkSync(folder, join(workspace, 'up'));
  symlinkSync(join(folder, 'secret'), join(workspace, 'file'));
  const outside = [
    '..',
    '/etc/passwd',
    'model/../../secret',
    'up/secret',
    'up/new/folder',
    'file',
    '../work-of-others',
  ];
  for (const path of outside) {
    expect(() => confined(path, 'data.calibration', allowed()), path).toThrow(
      expect.objectContaining({
        name: 'InputError',
        message: expect.stringMatching(/^action: data\.calibration is .*, expected a path in the workspace/),
      }),
    );
  }
});

test('a link that leads to nothing yet is refused: whoever writes there would follow it', () => {
  symlinkSync(join(folder, 'not-yet'), join(workspace, 'dangling'));
  expect(() => confined('dangling', 'output', allowed())).toThrow(/leads nowhere/);
  expect(() => confined('dangling/deeper', 'output', allowed())).toThrow(/leads nowhere/);
});

test('a folder with a link out of the workspace anywhere in it is refused', () => {
  expect(confinedTree('model', 'model', allowed())).toBe(join(workspace, 'model'));
  mkdirSync(join(workspace, 'model', 'deep'));
  symlinkSync(join(folder, 'secret'), join(workspace, 'model', 'deep', 'tokenizer.json'));
  expect(() => confinedTree('model', 'model', allowed())).toThrow(/a file of model is .*tokenizer\.json/);
});
