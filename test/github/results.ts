/**
 * The service behind artifacts (version 4) and caches (version 2) on localhost: Twirp calls in JSON, and a store that
 * takes blocks as Azure's does. In a test: `await using results = await startResults()`, then `results.environment` into
 * process.env. As a process: `node test/github/results.ts PORT`.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Message = { readonly [key: string]: unknown };

interface StoredArtifact {
  readonly run: string;
  readonly job: string;
  readonly name: string;
  readonly id: string;
  readonly createdAt: string;
  digest?: string;
  size?: number;
}

interface StoredCache {
  readonly key: string;
  readonly version: string;
  readonly order: number;
  isDone: boolean;
}

export interface FakeResults extends AsyncDisposable {
  readonly url: string;
  /** What the clients read from the environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly artifacts: StoredArtifact[];
  readonly caches: StoredCache[];
  readonly blobs: Map<string, Buffer>;
  close(): Promise<void>;
}

/** A token as the runner hands it out; nobody checks the signature here. */
export function runtimeToken(run = 'run-1', job = 'job-1'): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part({ scp: `Actions.Results:${run}:${job}`, exp: 4e9 })}.signature`;
}

export async function startResults(port = 0): Promise<FakeResults> {
  const artifacts: StoredArtifact[] = [];
  const caches: StoredCache[] = [];
  const blobs = new Map<string, Buffer>();
  const blocks = new Map<string, Buffer>();

  const server = createServer((request, response) => {
    read(request)
      .then((body) => serve(request, response, body))
      .catch((error: unknown) => response.destroy(error as Error));
  });

  function serve(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    const twirp = /^\/twirp\/github\.actions\.results\.api\.v1\.\w+\/(\w+)$/.exec(url.pathname);
    if (twirp !== null) {
      const [status, message] = /^Bearer .+/.test(request.headers.authorization ?? '')
        ? call(twirp[1], JSON.parse(body.toString() || '{}') as Message, url.origin)
        : [401, { code: 'unauthenticated', msg: 'no token' }];
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(message));
    } else if (url.pathname.startsWith('/blob/')) {
      store(request, response, url, body);
    } else {
      response.writeHead(404).end();
    }
  }

  function call(method: string, q: Message, origin: string): readonly [number, Message] {
    const link = (name: string) => `${origin}/blob/${encodeURIComponent(name)}?sig=local-blob-signature`;
    const [run, name] = [q.workflow_run_backend_id as string, q.name as string];
    const blobOf = (given: { run: string; name: string }) => `artifact/${given.run}/${given.name}.zip`;
    const cacheBlob = (given: { version: string; key: string }) => `cache/${given.version}/${given.key}`;
    const finished = artifacts.filter((each) => each.run === run && each.size !== undefined);
    const missing = [404, { code: 'not_found', msg: `no ${name ?? q.key}` }] as const;
    const exists = [409, { code: 'already_exists', msg: 'an entry of this name already exists' }] as const;
    switch (method) {
      case 'CreateArtifact': {
        if (finished.some((each) => each.name === name)) return exists;
        const id = String(artifacts.length + 1);
        const job = q.workflow_job_run_backend_id as string;
        artifacts.push({ run, job, name, id, createdAt: new Date().toISOString() });
        return [200, { ok: true, signed_upload_url: link(blobOf({ run, name })) }];
      }
      case 'FinalizeArtifact': {
        const artifact = artifacts.findLast((each) => each.run === run && each.name === name);
        const blob = blobs.get(blobOf({ run, name }));
        if (artifact === undefined || blob === undefined) return missing;
        const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
        const claimed = unwrapped(q.hash);
        if (claimed !== undefined && claimed !== digest)
          return [400, { code: 'invalid_argument', msg: 'another hash' }];
        Object.assign(artifact, { size: blob.length, digest });
        return [200, { ok: true, artifact_id: artifact.id }];
      }
      case 'ListArtifacts': {
        const [id, only] = [unwrapped(q.id_filter), unwrapped(q.name_filter)];
        const listed = finished
          .filter(
            (each) => (id === undefined || each.id === id) && (only === undefined || each.name === only),
          )
          .map((each) => ({
            workflow_run_backend_id: each.run,
            workflow_job_run_backend_id: each.job,
            database_id: each.id,
            name: each.name,
            size: String(each.size),
            created_at: each.createdAt,
            digest: each.digest,
          }));
        return [200, { artifacts: listed }];
      }
      case 'GetSignedArtifactURL':
        return [200, { name, signed_url: link(blobOf({ run, name })) }];
      case 'DeleteArtifact': {
        const at = artifacts.findIndex((each) => each.run === run && each.name === name);
        if (at < 0) return missing;
        return [200, { ok: true, artifact_id: artifacts.splice(at, 1)[0].id }];
      }
      case 'CreateCacheEntry': {
        const entry = { key: q.key as string, version: q.version as string };
        if (caches.some((each) => each.key === entry.key && each.version === entry.version)) return exists;
        caches.push({ ...entry, order: caches.length, isDone: false });
        return [200, { ok: true, signed_upload_url: link(cacheBlob(entry)) }];
      }
      case 'FinalizeCacheEntryUpload': {
        const entry = caches.find((each) => each.key === q.key && each.version === q.version);
        if (entry === undefined) return missing;
        entry.isDone = true;
        return [200, { ok: true, entry_id: String(entry.order + 1) }];
      }
      case 'GetCacheEntryDownloadURL': {
        const there = caches.filter((each) => each.isDone && each.version === q.version).reverse();
        const prefixes = [q.key, ...((q.restore_keys as unknown[]) ?? [])] as string[];
        const hit =
          there.find((each) => each.key === q.key) ??
          prefixes
            .map((prefix) => there.find((each) => each.key.startsWith(prefix)))
            .find((each) => each !== undefined);
        if (hit === undefined) return [200, { ok: false, signed_download_url: '', matched_key: '' }];
        return [200, { ok: true, signed_download_url: link(cacheBlob(hit)), matched_key: hit.key }];
      }
      default:
        return [404, { code: 'bad_route', msg: method }];
    }
  }

  function store(request: IncomingMessage, response: ServerResponse, url: URL, body: Buffer): void {
    const name = decodeURIComponent(url.pathname.slice('/blob/'.length));
    const headers = {
      etag: '"0x1"',
      'last-modified': new Date().toUTCString(),
      'x-ms-request-id': 'test',
      'x-ms-version': '2025-01-05',
      'x-ms-blob-type': 'BlockBlob',
    };
    if (request.method === 'PUT') {
      const part = url.searchParams.get('comp');
      if (part === 'block') blocks.set(`${name}|${url.searchParams.get('blockid')}`, body);
      else if (part === 'blocklist') {
        const ids = [...body.toString().matchAll(/<(?:Latest|Uncommitted|Committed)>([^<]+)</g)];
        blobs.set(name, Buffer.concat(ids.map(([, id]) => blocks.get(`${name}|${id}`)!)));
      } else blobs.set(name, body);
      response.writeHead(201, headers).end();
      return;
    }
    const blob = blobs.get(name);
    if (blob === undefined) {
      response.writeHead(404, headers).end();
      return;
    }
    const range = /bytes=(\d+)-(\d*)/.exec(
      String(request.headers['x-ms-range'] ?? request.headers.range ?? ''),
    );
    const from = Number(range?.[1] ?? 0);
    const to = range?.[2] ? Math.min(Number(range[2]), blob.length - 1) : blob.length - 1;
    response.writeHead(range === null ? 200 : 206, {
      ...headers,
      'content-type': 'application/zip',
      'accept-ranges': 'bytes',
      'content-length': to - from + 1,
      ...(range === null ? {} : { 'content-range': `bytes ${from}-${to}/${blob.length}` }),
    });
    response.end(request.method === 'HEAD' ? '' : blob.subarray(from, to + 1));
  }

  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  const environment = {
    ACTIONS_RESULTS_URL: `${url}/`,
    ACTIONS_RUNTIME_TOKEN: runtimeToken(),
    ACTIONS_CACHE_SERVICE_V2: 'True',
  };
  return { url, environment, artifacts, caches, blobs, close, [Symbol.asyncDispose]: close };
}

/** A value that protobuf's JSON may have wrapped. */
function unwrapped(value: unknown): string | undefined {
  const inner = typeof value === 'object' && value !== null ? (value as { value?: unknown }).value : value;
  return inner === undefined || inner === null ? undefined : String(inner);
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

if (process.argv[1] === import.meta.filename) {
  const { url } = await startResults(Number(process.argv[2]));
  console.log(`Results on ${url}`);
}
