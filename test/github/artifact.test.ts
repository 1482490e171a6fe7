import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { uploadArtifact } from '../../src/github/artifact.ts';
import { downloadRecords } from '../../src/github/records.ts';
import { sample } from '../report/sample.ts';
import { open } from './open.ts';
import { type FakeResults, startResults } from './results.ts';
import { type FakeGitHub, startGitHub } from './server.ts';

let server: FakeGitHub;
let results: FakeResults;
let place: string;
beforeEach(async () => {
  server = await startGitHub();
  results = await startResults();
  place = mkdtempSync(join(tmpdir(), 'ziplm-artifact-'));
  for (const [name, value] of Object.entries(results.environment)) vi.stubEnv(name, value);
  vi.stubEnv('GITHUB_WORKSPACE', place);
  vi.stubEnv('GITHUB_SERVER_URL', 'https://github.com');
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await results.close();
  await server.close();
  rmSync(place, { recursive: true });
});

const upload = (github = open(server), name = 'ziplm-record-a', record: unknown = sample) => {
  const root = join(place, 'ziplm-out');
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'run.json'), JSON.stringify(record));
  const files = [join(root, 'run.json')];
  return uploadArtifact(github, { name, root, files, serverUrl: 'https://github.com', runId: 55 });
};
const records = (github = open(server)) =>
  downloadRecords(github, { prefix: 'ziplm-record', temporary: join(place, 'temporary') });

test('what one job uploads another of the run reads, and nothing is left behind', async () => {
  const artifact = await upload();
  expect(artifact).toMatchObject({
    name: 'ziplm-record-a',
    url: `https://github.com/octo/models/actions/runs/55/artifacts/${artifact?.id}`,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  await upload(open(server), 'models-a');
  expect(await records()).toEqual([{ artifact: 'ziplm-record-a', record: sample }]);
  expect(readdirSync(join(place, 'temporary'))).toEqual([]);
});

test('a second attempt replaces what the first one left', async () => {
  await upload();
  const github = open(server);
  await upload(github, 'ziplm-record-a', { ...sample, name: 'again' });
  expect(github.warnings).toEqual([]);
  expect((await records()).map(({ record }) => record.name)).toEqual(['again']);
});

test('what is no record is left out with a warning', async () => {
  await upload(open(server), 'ziplm-record-b', { hello: 1 });
  const github = open(server);
  expect(await records(github)).toEqual([]);
  expect(github.warnings[0]).toContain('"ziplm-record-b" is left out');
});

test('where the service does not answer there is a warning, and no artifact', async () => {
  vi.stubEnv('ACTIONS_RUNTIME_TOKEN', '');
  const github = open(server);
  expect(await upload(github)).toBeUndefined();
  expect(await records(github)).toEqual([]);
  expect(github.warnings).toHaveLength(2);
});
