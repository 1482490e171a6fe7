import { execFileSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { inTemporaryFolder } from '../../src/runtime/feeds.ts';
import { fixture } from './fixture.ts';

const project = join(import.meta.dirname, '../..');

test('a bundled program measures by starting itself', async () => {
  await inTemporaryFolder(async (folder) => {
    const source = (file: string) => JSON.stringify(join(project, file));
    const program = join(folder, 'program.ts');
    writeFileSync(
      program,
      `import { isMeasuringChild, serveChild } from ${source('src/runtime/child.ts')};
       import { timeFresh } from ${source('src/runtime/timing.ts')};
       if (isMeasuringChild()) void serveChild();
       else {
         const model = { name: 'bert', file: process.argv[2] };
         const options = { provider: 'cpu', feeds: JSON.parse(process.argv[3], revive), runs: 4 };
         timeFresh(model, options).then((timing) => console.log(JSON.stringify(timing)));
       }
       function revive(_, value) { return value?.ids ? { ...value, data: BigInt64Array.from(value.ids, BigInt) } : value; }`,
    );
    const outfile = join(folder, 'program.cjs');
    await build({
      entryPoints: [program],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'cjs',
      external: ['onnxruntime-node'],
      define: { 'import.meta.url': '__metaUrl', 'import.meta.main': 'false' },
      banner: { js: 'const __metaUrl = require("node:url").pathToFileURL(__filename).href;' },
      logLevel: 'error',
    });
    symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'));
    const ids = { type: 'int64', shape: [1, 3], ids: [1, 1, 1] };
    const feeds = { input_ids: ids, attention_mask: ids, token_type_ids: ids };
    const printed = execFileSync(
      process.execPath,
      [outfile, fixture('bert-optimum'), JSON.stringify(feeds)],
      {
        encoding: 'utf8',
      },
    );
    expect(JSON.parse(printed).latenciesMs).toHaveLength(4);
  });
});
