/**
 * GitHub's REST API on localhost: keeps state, and holds every request and every answer against GitHub's own OpenAPI
 * description. What breaks it is answered with an error and listed in `violations`, which every test expects empty.
 *
 * In a test: `await using github = await startGitHub()`. As a process, for workflows that run under act:
 *
 *     node test/github/server.ts PORT [SETUP.json]
 *
 * where the setup has `repository`, `logins` (token → login), `faults`, and lists of `pulls` and `permissions`. The process
 * answers GET /test/state with what it holds. POST /test/faults replaces the faults; POST /test/pulls and /test/labels add
 * what they are given in a list; POST /test/artifacts?name=N&run=ID&branch=B&fork=true adds the ZIP file that it is given.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Judge, openJudge } from './openapi.ts';
import { type Answer, type Call, openState, Refusal, type State } from './state.ts';

/** What goes wrong, with which calls. */
export interface Fault {
  /** An operation's id; left out: any. */
  readonly operation?: string;
  readonly status: number;
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Every which call of those that match; left out: each. */
  readonly every?: number;
  /** How many times at most. */
  readonly times?: number;
  /** `after`: it has taken effect, but the answer is lost. `drop`: the same, and the connection ends without an answer. */
  readonly effect?: 'before' | 'after' | 'drop';
}

export interface Logged {
  readonly operation: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly at: number;
}

export interface FakeGitHub extends AsyncDisposable {
  readonly url: string;
  readonly state: State;
  readonly log: Logged[];
  readonly violations: string[];
  readonly faults: Fault[];
  readonly logins: Map<string, string>;
  /** Called before a call takes effect; what it returns is waited for. */
  before: ((call: Call) => Promise<void> | void) | undefined;
  /** Called when a call has taken effect, before it is answered. */
  after: ((call: Call) => Promise<void> | void) | undefined;
  close(): Promise<void>;
}

interface LabelEvent {
  readonly issue: number;
  readonly event: 'labeled' | 'unlabeled';
  readonly label: string;
  readonly actor: string;
}

export interface Setup {
  readonly repository?: string;
  readonly port?: number;
  readonly logins?: Readonly<Record<string, string>>;
  readonly faults?: readonly Fault[];
  readonly pulls?: readonly Parameters<State['addPull']>[0][];
  readonly permissions?: Readonly<Record<string, string>>;
}

/** GitHub's words for a token that lacks a permission. */
export const FORBIDDEN = 'Resource not accessible by integration';
const DEFAULT_LOGIN = 'github-actions[bot]';

let judge: Judge | undefined;

export async function startGitHub(setup: Setup = {}): Promise<FakeGitHub> {
  judge ??= openJudge();
  const state = openState(judge, setup.repository ?? 'octo/models');
  for (const pull of setup.pulls ?? []) state.addPull(pull);
  for (const [login, permission] of Object.entries(setup.permissions ?? {}))
    state.permissions.set(login, permission);
  const log: Logged[] = [];
  const violations: string[] = [];
  const faults: Fault[] = [...(setup.faults ?? [])];
  const counts = new Map<Fault, { seen: number; fired: number }>();
  const logins = new Map(Object.entries(setup.logins ?? {}));

  const server = createServer((request, response) => {
    read(request).then((raw) =>
      serve(request, response, raw).catch((error: unknown) => response.destroy(error as Error)),
    );
  });

  /** The fault that this call meets, if any. */
  function faultFor(operation: string): Fault | undefined {
    for (const fault of faults) {
      if (fault.operation !== undefined && fault.operation !== operation) continue;
      const count = counts.get(fault) ?? { seen: 0, fired: 0 };
      counts.set(fault, count);
      count.seen++;
      if (count.seen % (fault.every ?? 1) !== 0 || count.fired >= (fault.times ?? Number.POSITIVE_INFINITY))
        continue;
      count.fired++;
      return fault;
    }
    return undefined;
  }

  async function serve(request: IncomingMessage, response: ServerResponse, raw: Buffer): Promise<void> {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    const method = request.method ?? 'GET';
    const isUpload = url.pathname.startsWith('/uploads/');
    const path = decodeURIComponent(isUpload ? url.pathname.slice('/uploads'.length) : url.pathname);
    let operation = '';
    const send = (answer: Answer) => {
      log.push({ operation, method, path, status: answer.status, at: Date.now() });
      const body = Buffer.isBuffer(answer.body)
        ? answer.body
        : answer.body === undefined
          ? ''
          : JSON.stringify(answer.body);
      response.writeHead(answer.status, {
        'content-type': Buffer.isBuffer(answer.body)
          ? 'application/octet-stream'
          : 'application/json; charset=utf-8',
        'x-github-request-id': `TEST:${log.length}`,
        ...answer.headers,
      });
      response.end(body);
    };
    const refuse = (status: number, message: string, errors?: unknown, headers?: Fault['headers']) =>
      send({
        status,
        body: { message, errors, documentation_url: 'https://docs.github.com/rest', status: String(status) },
        ...(headers && { headers }),
      });
    const violate = (status: number, what: string, problems: readonly string[]) => {
      violations.push(`${method} ${path}: ${what}: ${problems.join('; ')}`);
      refuse(status, what, problems);
    };

    if (path.startsWith('/storage/')) return serveStorage(path, request, send, violate);
    if (path.startsWith('/test/')) return serveTest(url, raw, send);

    const matched = judge!.match(method, path);
    if (matched === undefined) return violate(501, 'no such operation', [path]);
    operation = matched.operation.id;
    const token = /^(?:token|bearer) (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) return refuse(401, 'Requires authentication');
    if (!path.startsWith(`/repos/${state.repository}`) && path !== '/user') return refuse(404, 'Not Found');
    if (isUpload !== matched.operation.isUpload)
      return violate(422, 'the wrong host', ['uploads, or the API?']);
    const type = (request.headers['content-type'] ?? '').split(';')[0];
    const isJson = matched.operation.body !== undefined && raw.length > 0;
    let body: unknown;
    try {
      body = isJson ? JSON.parse(raw.toString()) : undefined;
    } catch {
      return violate(400, 'the body is no JSON', []);
    }
    const problems = judge!.request(
      matched,
      url.searchParams,
      isJson ? body : isUpload && raw.length > 0 ? {} : body,
    );
    if (problems.length > 0) return violate(422, `a request that ${operation} does not take`, problems);

    const call: Call = {
      operation,
      params: matched.params,
      query: url.searchParams,
      body: (body ?? {}) as Call['body'],
      raw,
      type,
      login: logins.get(token) ?? DEFAULT_LOGIN,
      origin: url.origin,
    };
    const fault = faultFor(operation);
    const fail = () => refuse(fault!.status, fault!.message ?? 'Server Error', undefined, fault!.headers);
    if (fault !== undefined && (fault.effect ?? 'before') === 'before') return fail();
    await tracked.before?.(call);
    let answer: Answer;
    try {
      answer = state.handle(call) ?? { status: 200, body: judge!.example(operation) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return refuse(error.status, error.message, error.errors);
    }
    // As it is now: a slower answer must not show what comes later.
    answer = {
      ...answer,
      body: answer.body === undefined ? undefined : JSON.parse(JSON.stringify(answer.body)),
    };
    await tracked.after?.(call);
    if (fault?.effect === 'after') return fail();
    if (fault?.effect === 'drop') return void response.destroy();
    const page = paged(
      answer,
      url,
      matched.operation.parameters.some(({ name }) => name === 'page'),
    );
    const wrong = judge!.answer(matched.operation, page.status, page.body);
    if (wrong.length > 0) return violate(501, `an answer that ${operation} does not give`, wrong);
    send(page);
  }

  /** Where artifacts lie: addresses are signed, and a token sent here would be a token given away. */
  function serveStorage(
    path: string,
    request: IncomingMessage,
    send: (answer: Answer) => void,
    violate: (status: number, what: string, problems: readonly string[]) => void,
  ): void {
    if (request.headers.authorization !== undefined) {
      violate(400, 'the token was sent to the storage', []);
      return;
    }
    const blob = state.blobs.get(Number(path.split('/')[2]));
    send(blob === undefined ? { status: 404 } : { status: 200, body: blob });
  }

  function serveTest(url: URL, raw: Buffer, send: (answer: Answer) => void): void {
    const json = <T>() => JSON.parse(raw.toString()) as readonly T[];
    const query = (name: string) => url.searchParams.get(name) ?? undefined;
    switch (url.pathname) {
      case '/test/faults':
        faults.splice(0, faults.length, ...json<Fault>());
        break;
      case '/test/pulls':
        for (const pull of json<Parameters<State['addPull']>[0]>()) state.addPull(pull);
        break;
      case '/test/labels':
        for (const { issue, event, label, actor } of json<LabelEvent>()) {
          state.addLabelEvent(issue, event, label, actor);
        }
        break;
      case '/test/artifacts':
        state.addArtifact({
          name: query('name') ?? 'artifact',
          zip: raw,
          runId: Number(query('run') ?? 1),
          branch: query('branch') ?? 'main',
          fork: query('fork') === 'true',
        });
        break;
    }
    const { comments, checks, releases, pulls } = state;
    send({ status: 200, body: { comments, checks, releases, pulls, log, violations } });
  }

  await new Promise<void>((done) => server.listen(setup.port ?? 0, '127.0.0.1', done));
  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  const tracked: FakeGitHub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    state,
    log,
    violations,
    faults,
    logins,
    before: undefined,
    after: undefined,
    close,
    [Symbol.asyncDispose]: close,
  };
  return tracked;
}

/** One page of a list, with links to the others. */
function paged(answer: Answer, url: URL, hasPages: boolean): Answer {
  const inner = Array.isArray(answer.body)
    ? answer.body
    : Object.values((answer.body ?? {}) as object).find((value) => Array.isArray(value));
  if (!hasPages || inner === undefined || answer.status !== 200) return answer;
  const size = Number(url.searchParams.get('per_page') ?? 30);
  const page = Number(url.searchParams.get('page') ?? 1);
  const last = Math.max(1, Math.ceil(inner.length / size));
  const link = (to: number, relation: string) => {
    const there = new URL(url);
    there.searchParams.set('page', String(to));
    return `<${there.href}>; rel="${relation}"`;
  };
  const part = inner.slice((page - 1) * size, page * size);
  const body = Array.isArray(answer.body)
    ? part
    : Object.fromEntries(
        Object.entries(answer.body as object).map(([key, value]) => [
          key,
          Array.isArray(value) ? part : value,
        ]),
      );
  const headers: Record<string, string> =
    page < last ? { link: `${link(page + 1, 'next')}, ${link(last, 'last')}` } : {};
  return { status: answer.status, body, headers };
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

if (process.argv[1] === import.meta.filename) {
  const [port, file] = process.argv.slice(2);
  const setup = file === undefined ? {} : (JSON.parse(readFileSync(file, 'utf8')) as Setup);
  const { url } = await startGitHub({ ...setup, port: Number(port) });
  console.log(`GitHub on ${url}`);
}
