/**
 * One comment per pull request and title, updated in place.
 *
 * Ours is what begins with our marker *and* was written by our login: anybody can write a marker. The marker names the
 * title (as a hash: it may be any text) and the run. GitHub has no conditional write, so jobs that race are
 * brought together afterwards: whoever has written waits a little, looks again, and puts right what it finds. All
 * do the same (the oldest comment stays, with the text of the latest run; the others go), so they agree.
 * @module
 */
import { createHash } from 'node:crypto';
import { createOnce, type GitHub, isApiError, type Run, unlessGone } from './client.ts';
import { orWarn } from './permission.ts';

export interface CommentRequest {
  readonly pullRequest: number;
  /** Tells several comments on one pull request apart. */
  readonly title: string;
  /** The run whose results these are: in a `workflow_run` job the run that triggered it. */
  readonly run: Run;
  /** The same text from whole to shortest; the first that fits is posted. `report/comment.ts` makes them. */
  readonly bodies: Iterable<string>;
  /** The login that our comments have. Left out: github-actions[bot], or whose personal token it is. */
  readonly author?: string;
}

export interface CommentResult {
  /** `superseded`: a later run has reported already, and its comment stays. */
  readonly kind: 'created' | 'updated' | 'unchanged' | 'superseded';
  readonly id: number;
  readonly url: string;
}

/** A comment of ours on the pull request. */
interface Own {
  readonly id: number;
  readonly url: string;
  readonly body: string;
  readonly run: Run;
}

/** UTF-16 units. GitHub says 65,536 characters; the rest is for what its servers add and count otherwise. */
export const MAX_COMMENT = 60_000;
/** Writing and looking again, until what is there is right. More often than this, someone else is at it. */
const MAX_TURNS = 6;
const DEFAULT_AUTHOR = 'github-actions[bot]';

/** @returns undefined when it may not or cannot be posted; why has been warned of */
export function upsertComment(github: GitHub, request: CommentRequest): Promise<CommentResult | undefined> {
  const output = { what: 'the comment', permission: 'pull-requests: write' } as const;
  return orWarn(github, output, () => upsert(github, request));
}

async function upsert(github: GitHub, request: CommentRequest): Promise<CommentResult> {
  const { run } = request;
  const marker = markerOf(request.title, run);
  const bodies = [...request.bodies].map((body) => marker + body);
  let author = request.author ?? (await ownLogin(github));
  let written: CommentResult['kind'] | undefined;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const [oldest, ...younger] = await ownComments(github, request, author);
    if (younger.length > 0) {
      await bringTogether(github, oldest, younger);
    } else if (oldest === undefined) {
      const made = await create(github, request, author, bodies);
      if (!isLogin(made.author, author)) author = adopt(github, made.author, author);
      written ??= 'created';
      await github.clock.sleep(github.pace.settleMs);
    } else if (isLater(oldest.run, run)) {
      return { kind: 'superseded', id: oldest.id, url: oldest.url };
    } else if (
      isSame(oldest.run, run) &&
      (written !== undefined || bodies.some((body) => sameText(oldest.body, body)))
    ) {
      return { kind: written ?? 'unchanged', id: oldest.id, url: oldest.url };
    } else {
      // Looked at once more when the turn to write has come: it may have been long.
      await github.ready();
      const now = await reread(github, request, oldest.id);
      if (now === undefined || isLater(now.run, run)) continue;
      const done = await firstAccepted(bodies, MAX_COMMENT, (body) => update(github, oldest.id, body));
      if (!done) continue;
      written ??= 'updated';
      await github.clock.sleep(github.pace.settleMs);
    }
  }
  const [last] = await ownComments(github, request, author);
  return { kind: written ?? 'superseded', id: last?.id ?? 0, url: last?.url ?? '' };
}

/** At the very start of a comment, where no text from outside ever stands. */
function markerOf(title: string, run: Run): string {
  return `<!-- ziplm ${titleHash(title)} ${run.id}.${run.attempt} -->\n`;
}

const MARKER = /^<!-- ziplm ([0-9a-f]{16}) (\d{1,15})\.(\d{1,9}) -->\r?\n/;

const titleHash = (title: string): string => createHash('sha256').update(title).digest('hex').slice(0, 16);

interface Comment {
  readonly id: number;
  readonly html_url: string;
  readonly body?: string | undefined;
  readonly user: { readonly login: string } | null;
}

/** The comment as ours; undefined where its marker is another's, or none. */
function asOwn(comment: Comment, title: string): Own | undefined {
  const body = comment.body ?? '';
  const [, hash, id, attempt] = MARKER.exec(body) ?? [];
  if (hash !== titleHash(title)) return undefined;
  return { id: comment.id, url: comment.html_url, body, run: { id: Number(id), attempt: Number(attempt) } };
}

/** Every comment of ours, the oldest first. */
async function ownComments(github: GitHub, request: CommentRequest, author: string): Promise<Own[]> {
  const { owner, repo, api, paginate } = github;
  const all = await paginate(api.issues.listComments, {
    owner,
    repo,
    issue_number: request.pullRequest,
    per_page: 100,
  });
  return all
    .filter((comment) => isBy(comment.user, author))
    .flatMap((comment) => asOwn(comment, request.title) ?? [])
    .sort((a, b) => a.id - b.id);
}

const isLogin = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** A person's login holds no brackets: whoever is called like a bot is that bot. */
const isBy = (user: Comment['user'], author: string): boolean => user !== null && isLogin(user.login, author);

async function reread(github: GitHub, request: CommentRequest, id: number): Promise<Own | undefined> {
  const { owner, repo, api } = github;
  const answer = await unlessGone(api.issues.getComment({ owner, repo, comment_id: id }));
  return answer === undefined ? undefined : asOwn(answer.data, request.title);
}

async function create(
  github: GitHub,
  request: CommentRequest,
  author: string,
  bodies: readonly string[],
): Promise<{ readonly author: string }> {
  const { owner, repo, api } = github;
  let by = author;
  await firstAccepted(bodies, MAX_COMMENT, (body) =>
    createOnce(
      github,
      async () => {
        const issue = { owner, repo, issue_number: request.pullRequest };
        const { data } = await api.issues.createComment({ ...issue, body });
        by = data.user?.login ?? author;
        return true;
      },
      async () => {
        const own = await ownComments(github, request, author);
        return own.some((comment) => isSame(comment.run, request.run)) || undefined;
      },
    ),
  );
  return { author: by };
}

/** @returns whether it was there to be updated */
async function update(github: GitHub, id: number, body: string): Promise<boolean> {
  const { owner, repo, api } = github;
  return (await unlessGone(api.issues.updateComment({ owner, repo, comment_id: id, body }))) !== undefined;
}

/** The oldest stays, with the text of the latest run; the others go. */
async function bringTogether(github: GitHub, oldest: Own, younger: readonly Own[]): Promise<void> {
  const { owner, repo, api } = github;
  const latest = younger.reduce((best, own) => (isLater(own.run, best.run) ? own : best), oldest);
  if (latest !== oldest) await update(github, oldest.id, latest.body);
  for (const { id } of younger) {
    await unlessGone(api.issues.deleteComment({ owner, repo, comment_id: id }));
  }
}

/** The login that comments of this token have, as far as can be told before one is there. */
async function ownLogin(github: GitHub): Promise<string> {
  if (!/^(ghp|gho|ghu|github_pat)_/.test(github.token)) return DEFAULT_AUTHOR;
  return (await github.api.users.getAuthenticated()).data.login;
}

/** The token is an app's: its comments are looked for under the app's name from now on. */
function adopt(github: GitHub, actual: string, expected: string): string {
  github.warn(
    `github: the comment was expected to be by ${expected}, and is by ${actual}. Set comment-author: ${actual}, so that later runs find it at once.`,
  );
  return actual;
}

/**
 * Offers one text after the other until one is taken.
 * @param limit UTF-16 units; longer ones are not even offered
 * @throws what GitHub said to the last one
 */
export async function firstAccepted<T>(
  bodies: Iterable<string>,
  limit: number,
  post: (body: string) => Promise<T>,
): Promise<T> {
  let refusal: unknown = new Error(`github: no version of the text has at most ${limit} characters`);
  for (const body of bodies) {
    if (body.length > limit) continue;
    try {
      return await post(body);
    } catch (error) {
      if (!isTooLong(error)) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

const isTooLong = (error: unknown): boolean =>
  isApiError(error) &&
  error.status === 422 &&
  /too long|characters are allowed|maximum is/i.test(
    error.message + JSON.stringify(error.response?.data ?? ''),
  );

const isLater = (a: Run, b: Run): boolean => a.id > b.id || (a.id === b.id && a.attempt > b.attempt);
const isSame = (a: Run, b: Run): boolean => a.id === b.id && a.attempt === b.attempt;

/** GitHub keeps a text but for its line ends and what blank there is at its end. */
const sameText = (a: string, b: string): boolean => clean(a) === clean(b);
const clean = (text: string): string => text.replaceAll('\r\n', '\n').trimEnd();
