import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silent } from '../../../src/progress.ts';
import { addCuda } from '../../../src/runtime/setup/cuda.ts';
import { installedRuntime, type Npm } from '../../../src/runtime/setup/install.ts';
import { libraryFolder, locateRuntime, useRuntime } from '../../../src/runtime/setup/locate.ts';
import { parseSums } from '../../../src/runtime/setup/store.ts';
import { zip } from './zip.ts';

const project = join(import.meta.dirname, '../../..');
const VERSION = '9.9.9';
const LIBRARIES = { 'onnxruntime_binding.node': 'a binding', 'libonnxruntime.so.1': 'a library' };
const sumOf = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');

let folder: string;
let own: string;
let toolCache: string;
let workspace: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-setup-'));
  [own, toolCache, workspace] = ['own', 'tools', 'workspace'].map((name) => join(folder, name));
  for (const each of [join(own, 'runtime'), toolCache, workspace]) mkdirSync(each, { recursive: true });
  const write = (name: string, text: string) => writeFileSync(join(own, 'runtime', name), text);
  write('package.json', JSON.stringify({ dependencies: { 'onnxruntime-node': VERSION } }));
  write('package-lock.json', '{}');
  write(
    'SHA256SUMS',
    Object.entries(LIBRARIES)
      .map(([name, text]) => `${sumOf(text)}  ${join(libraryFolder(), name)}\n`)
      .join(''),
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Lays a package into `at/node_modules`, as npm would. */
function layPackage(at: string, libraries: Readonly<Record<string, string>> = LIBRARIES, version = VERSION) {
  const modules = join(at, 'node_modules');
  mkdirSync(join(at, libraryFolder()), { recursive: true });
  mkdirSync(join(at, libraryFolder('win32', 'x64')), { recursive: true });
  mkdirSync(join(modules, 'onnxruntime-common'), { recursive: true });
  writeFileSync(join(modules, 'onnxruntime-common/package.json'), '{"name":"onnxruntime-common"}');
  const manifest = { name: 'onnxruntime-node', version };
  writeFileSync(join(modules, 'onnxruntime-node/package.json'), JSON.stringify(manifest));
  for (const [name, text] of Object.entries(libraries)) writeFileSync(join(at, libraryFolder(), name), text);
}

const entry = () => join(toolCache, 'onnxruntime-node', VERSION, process.arch);
/** Installs, and says how often it did. */
function fakeNpm(libraries?: Readonly<Record<string, string>>): Npm & { calls: string[][] } {
  const npm = async (args: readonly string[], at: string) => {
    npm.calls.push([...args]);
    expect(readdirSync(at).sort()).toEqual(['package-lock.json', 'package.json']);
    layPackage(at, libraries);
  };
  npm.calls = [] as string[][];
  return npm;
}

describe('installing', () => {
  test('runs npm ci without scripts, drops other platforms, and is done once', async () => {
    const npm = fakeNpm();
    expect(await installedRuntime(own, toolCache, silent, npm)).toBe(entry());
    expect(await installedRuntime(own, toolCache, silent, npm)).toBe(entry());
    expect(npm.calls).toHaveLength(1);
    expect(npm.calls[0].slice(0, 3)).toEqual(['ci', '--ignore-scripts', '--omit=dev']);
    expect(existsSync(join(entry(), libraryFolder('win32', 'x64')))).toBe(false);
    expect(readdirSync(dirname(entry())).sort()).toEqual([process.arch, `${process.arch}.complete`]);
  });

  test('is done once by two jobs at the same time', async () => {
    const npm = fakeNpm();
    await Promise.all([1, 2, 3].map(() => installedRuntime(own, toolCache, silent, npm)));
    expect(npm.calls).toHaveLength(1);
  });

  test('is done again where a library is not the one of the list, and where a job was killed half-way', async () => {
    const npm = fakeNpm();
    await installedRuntime(own, toolCache, silent, npm);
    writeFileSync(join(entry(), libraryFolder(), 'libonnxruntime.so.1'), 'tampered with');
    await installedRuntime(own, toolCache, silent, npm);
    expect(npm.calls).toHaveLength(2);
    rmSync(`${entry()}.complete`);
    mkdirSync(`${entry()}.1234.partial`);
    await installedRuntime(own, toolCache, silent, npm);
    expect(npm.calls).toHaveLength(3);
    expect(existsSync(`${entry()}.1234.partial`)).toBe(false);
  });

  test('what npm installed is refused when it is not the pinned one, and leaves nothing', async () => {
    const npm = fakeNpm({ ...LIBRARIES, 'libonnxruntime.so.1': 'another library' });
    await expect(installedRuntime(own, toolCache, silent, npm)).rejects.toMatchObject({
      name: 'MachineError',
      message: expect.stringContaining('SHA256SUMS'),
    });
    expect(readdirSync(dirname(entry()))).toEqual([]);
  });

  test('npm’s last words and a way out are in the error', async () => {
    const npm: Npm = () => Promise.reject(new Error('code ENOTFOUND'));
    await expect(installedRuntime(own, toolCache, silent, npm)).rejects.toThrow(
      /9\.9\.9 could not be installed: code ENOTFOUND\. .*input runtime/,
    );
  });

  test('the committed list is of the committed version, for every platform that the package has', () => {
    const sums = parseSums(readFileSync(join(project, 'runtime/SHA256SUMS'), 'utf8'));
    const libraries = join(project, 'node_modules/onnxruntime-node/bin/napi-v6');
    const there = readdirSync(libraries, { recursive: true, withFileTypes: true })
      .filter((file) => file.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(project.length + 1));
    expect([...sums.keys()].sort()).toEqual(there.sort());
    const ours = [...sums].filter(([path]) => path.includes(libraryFolder()));
    expect(ours).not.toEqual([]);
    for (const [path, sum] of ours) expect(sumOf(readFileSync(join(project, path)))).toBe(sum);
    const read = (path: string) => JSON.parse(readFileSync(join(project, path), 'utf8'));
    const { dependencies } = read('runtime/package.json');
    expect(dependencies['onnxruntime-node']).toBe(read('package.json').dependencies['onnxruntime-node']);
    const { packages } = read('runtime/package-lock.json');
    expect(packages['node_modules/onnxruntime-node'].version).toBe(dependencies['onnxruntime-node']);
    for (const [path, { integrity }] of Object.entries<{ integrity?: string }>(packages)) {
      if (path !== '') expect(integrity, path).toMatch(/^sha512-/);
    }
    expect(read('runtime/cuda.json').version).toBe(dependencies['onnxruntime-node']);
  });
});

describe('the order of places', () => {
  const places = () => ({ own, toolCache, workspace });
  /** As an earlier job left it. */
  const fillCache = () => installedRuntime(own, toolCache, silent, fakeNpm());

  test('the folder that was named, the action’s own packages, the tool cache', async () => {
    await fillCache();
    expect(await locateRuntime(places(), silent)).toMatchObject({ folder: entry(), version: VERSION });
    layPackage(own, LIBRARIES, '1.1.1');
    expect(await locateRuntime(places(), silent)).toMatchObject({ folder: own, version: '1.1.1' });
    const given = join(folder, 'given');
    layPackage(given, LIBRARIES, '2.2.2');
    expect(await locateRuntime({ ...places(), given }, silent)).toMatchObject({
      folder: given,
      version: '2.2.2',
    });
  });

  test('the folder may be named by its node_modules or the package in there', async () => {
    const given = join(folder, 'given');
    layPackage(given);
    for (const name of ['node_modules', 'node_modules/onnxruntime-node']) {
      expect(await locateRuntime({ ...places(), given: join(given, name) }, silent)).toMatchObject({
        folder: given,
      });
    }
  });

  test('nothing of the workspace is taken, also not by a link', async () => {
    layPackage(workspace);
    const link = join(folder, 'link');
    symlinkSync(workspace, link);
    for (const given of [workspace, join(workspace, 'node_modules'), link]) {
      await expect(locateRuntime({ ...places(), given }, silent)).rejects.toMatchObject({
        name: 'InputError',
        message: expect.stringContaining('nothing is executed'),
      });
    }
    await fillCache();
    expect((await locateRuntime(places(), silent)).folder).toBe(entry());
  });

  test('a folder without the package is the user’s mistake', async () => {
    await expect(locateRuntime({ ...places(), given: join(folder, 'nowhere') }, silent)).rejects.toThrow(
      /is not there/,
    );
    const empty = join(folder, 'empty', 'deep');
    mkdirSync(empty, { recursive: true });
    layPackage(folder);
    await expect(locateRuntime({ ...places(), given: empty }, silent)).rejects.toThrow(
      /has no onnxruntime-node/,
    );
  });

  test('is told to this process and its children by a variable', () => {
    const env: NodeJS.ProcessEnv = {};
    useRuntime({ folder: '/somewhere' }, env);
    expect(env).toEqual({ ZIPLM_RUNTIME: '/somewhere' });
  });
});

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('the CUDA part', () => {
  const PATH = 'onnxruntime/capi/libonnxruntime_providers_cuda.so';
  const library = Buffer.from('cuda '.repeat(5000));
  const wheel = zip([
    { name: 'onnxruntime/__init__.py', data: Buffer.from('raise SystemExit') },
    { name: PATH, data: library },
  ]);
  const name = 'onnxruntime_gpu-9.9.9-cp311-cp311-manylinux_2_28_x86_64.whl';
  const part = {
    version: VERSION,
    project: 'onnxruntime-gpu',
    wheel: name,
    bytes: wheel.length,
    sha256: sumOf(wheel),
    libraries: { [PATH]: sumOf(library) },
  };
  let runtime: { folder: string; version: string; from: string };
  beforeEach(() => {
    runtime = { folder: join(folder, 'runtime'), version: VERSION, from: 'here' };
    layPackage(runtime.folder);
    writeFileSync(join(own, 'runtime/cuda.json'), JSON.stringify(part));
    writeFileSync(join(folder, name), wheel);
  });
  const places = (more: object = {}) => ({ own, toolCache, workspace, part: join(folder, name), ...more });
  const laid = (at: string) => join(at, libraryFolder(), 'libonnxruntime_providers_cuda.so');

  test('is laid beside the library, in a copy of the package for this platform', async () => {
    const { folder: made } = await addCuda(runtime, places(), silent);
    expect(made.startsWith(toolCache)).toBe(true);
    expect(readFileSync(laid(made))).toEqual(library);
    expect(readFileSync(join(made, libraryFolder(), 'libonnxruntime.so.1'), 'utf8')).toBe('a library');
    expect(existsSync(join(made, libraryFolder('win32', 'x64')))).toBe(false);
    expect(existsSync(join(made, 'node_modules/onnxruntime-common/package.json'))).toBe(true);
    expect(existsSync(laid(runtime.folder))).toBe(false);
    rmSync(join(folder, name));
    expect((await addCuda(runtime, places(), silent)).folder).toBe(made);
  });

  test('is left alone where the runtime has it', async () => {
    writeFileSync(laid(runtime.folder), 'its own');
    expect(await addCuda(runtime, places(), silent)).toBe(runtime);
  });

  test('another file than the pinned one is refused, and so is another release', async () => {
    writeFileSync(join(folder, name), zip([{ name: PATH, data: Buffer.from('evil') }]));
    await expect(addCuda(runtime, places(), silent)).rejects.toMatchObject({
      name: 'MachineError',
      message: expect.stringContaining(part.sha256),
    });
    expect(readdirSync(join(toolCache, 'onnxruntime-node-cuda', VERSION))).toEqual([]);
    await expect(addCuda({ ...runtime, version: '9.9.8' }, places(), silent)).rejects.toThrow(
      /9\.9\.9.*is 9\.9\.8/,
    );
  });

  test('a wheel in the workspace is not taken', async () => {
    cpSync(join(folder, name), join(workspace, name));
    await expect(addCuda(runtime, places({ part: join(workspace, name) }), silent)).rejects.toThrow(
      /workspace/,
    );
    await expect(addCuda(runtime, places({ part: '/nowhere.whl' }), silent)).rejects.toThrow(/is not there/);
  });

  describe('downloaded', () => {
    let server: Server;
    let index: string;
    let answers: (path: string) => { status?: number; type?: string; body: string | Buffer };
    let asked: string[];
    beforeEach(async () => {
      asked = [];
      server = createServer((request, response) => {
        asked.push(request.url!);
        const { status = 200, type = 'text/html', body } = answers(request.url!);
        response.writeHead(status, { 'content-type': type }).end(body);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      index = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`;
    });
    afterEach(() => new Promise((resolve) => server.close(resolve)));
    const download = () => addCuda(runtime, places({ part: 'download', index, pauseMs: 1 }), silent);

    test.each([
      [
        'JSON',
        'application/vnd.pypi.simple.v1+json',
        JSON.stringify({ files: [{ url: '../../files/other.whl' }, { url: `../../files/${name}` }] }),
      ],
      [
        'HTML',
        'text/html',
        `<a href="../../files/other.whl">o</a><a href="../../files/${name}#sha256=0">${name}</a>`,
      ],
    ])('from an index in %s', async (_, type, page) => {
      answers = (path) => (path.startsWith('/simple/') ? { type, body: page } : { body: wheel });
      const { folder: made } = await download();
      expect(readFileSync(laid(made))).toEqual(library);
      expect(asked).toEqual(['/simple/onnxruntime-gpu/', `/files/${name}`]);
      expect(readdirSync(made)).toEqual(['node_modules']);
    });

    test('another file is refused at once, a failing server after some attempts', async () => {
      const page = `<a href="/files/${name}">${name}</a>`;
      answers = (path) => ({ body: path.startsWith('/simple/') ? page : Buffer.alloc(wheel.length) });
      await expect(download()).rejects.toThrow(part.sha256);
      expect(asked).toHaveLength(2);
      answers = () => ({ status: 503, body: '' });
      await expect(download()).rejects.toThrow(/could not be downloaded .*answers 503.*cuda-part/);
      expect(asked).toHaveLength(5);
    });

    test('more than the wheel has is not read to its end', async () => {
      answers = (path) =>
        path.startsWith('/simple/')
          ? { body: `<a href="/f/${name}"></a>` }
          : { body: Buffer.alloc(10 * wheel.length) };
      await expect(download()).rejects.toThrow(/gives more than/);
    });
  });
});
