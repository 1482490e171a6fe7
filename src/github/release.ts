/**
 * The family as assets of a release: archives, sums, record and report; a draft until all of it is there, because a
 * published release may be immutable. Running it again goes on where it stopped: assets that are there byte for byte stay.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError } from '../errors.ts';
import { createOnce, type GitHub, isApiError, unlessGone } from './client.ts';
import { firstAccepted } from './comment.ts';
import { orWarn } from './permission.ts';

export interface ReleaseRequest {
  readonly tag: string;
  /** Commit or branch that the tag is made from where there is none. */
  readonly commit?: string;
  readonly name: string;
  /** The text from whole to shortest. */
  readonly notes: Iterable<string>;
  readonly prerelease?: boolean;
  /** Files to attach, each under its base name. `SHA256SUMS` over all of them is made and added. */
  readonly files: readonly string[];
  /** RUNNER_TEMP */
  readonly temporary: string;
}

export interface ReleaseResult {
  readonly id: number;
  readonly url: string;
  /** True where someone else's draft was filled: publishing it is left to them. */
  readonly isDraft: boolean;
  readonly uploaded: readonly string[];
  /** Assets that were there already, byte for byte. */
  readonly kept: readonly string[];
}

const MAX_NOTES = 125_000;
const MAX_ASSET_BYTES = 2 ** 31 - 1;
const SUMS = 'SHA256SUMS';
/** Begins the notes of drafts that are ours to publish. */
const MARKER = '<!-- ziplm release -->\n';

/** A file and what it will be called and must hash to. */
interface Asset {
  readonly name: string;
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/** What of GitHub's release is needed here. */
interface Release {
  readonly id: number;
  readonly html_url: string;
  readonly upload_url: string;
  readonly draft: boolean;
  readonly immutable?: boolean | undefined;
  readonly body?: string | null | undefined;
}

/**
 * @returns undefined when it may not or cannot be made; why has been warned of
 * @throws InputError where the release is immutable and lacks something, or a file is over GitHub's 2 GiB
 */
export async function publishRelease(
  github: GitHub,
  request: ReleaseRequest,
): Promise<ReleaseResult | undefined> {
  const assets = await describe(request);
  const output = { what: `the release ${request.tag}`, permission: 'contents: write' } as const;
  return orWarn(github, output, async () => {
    const release = await findOrDraft(github, request);
    const { uploaded, kept } = await attach(github, release, assets, request.tag);
    const isOurs = release.draft && (release.body ?? '').startsWith(MARKER);
    const { owner, repo, api } = github;
    const published = isOurs
      ? (await api.repos.updateRelease({ owner, repo, release_id: release.id, draft: false })).data
      : release;
    return { id: release.id, url: published.html_url, isDraft: published.draft, uploaded, kept };
  });
}

/** The assets with their sums, and the file of sums among them. */
async function describe({ files, temporary }: ReleaseRequest): Promise<Asset[]> {
  const assets: Asset[] = [];
  for (const file of files) {
    const { size } = await stat(file);
    const name = basename(file);
    if (size > MAX_ASSET_BYTES) {
      throw new InputError(
        `github: ${name} has ${size} bytes, expected at most ${MAX_ASSET_BYTES}: GitHub takes no larger asset. Publish fewer models, or host it elsewhere.`,
      );
    }
    // GitHub renames anything else, and the next run would not find it.
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || assets.some((asset) => asset.name === name)) {
      throw new InputError(
        `github: an asset cannot be called ${JSON.stringify(name)}, expected letters, digits, ".", "_" and "-", once each. Rename it.`,
      );
    }
    assets.push({ name, file, size, sha256: await sha256(file) });
  }
  const sums = join(temporary, SUMS);
  await mkdir(temporary, { recursive: true });
  const lines = assets
    .map(({ name, sha256 }) => `${sha256}  ${name}\n`)
    .sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1));
  await writeFile(sums, lines.join(''));
  return [...assets, { name: SUMS, file: sums, size: (await stat(sums)).size, sha256: await sha256(sums) }];
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** The tag's release, else its draft, else a draft of ours; of two drafts that jobs made at once the older. */
async function findOrDraft(github: GitHub, request: ReleaseRequest): Promise<Release> {
  const { owner, repo, api } = github;
  const published = await unlessGone(api.repos.getReleaseByTag({ owner, repo, tag: request.tag }));
  if (published !== undefined) return published.data;
  const [draft] = await drafts(github, request.tag);
  if (draft !== undefined) return draft;
  const made = await firstAccepted(
    [...request.notes].map((text) => MARKER + text),
    MAX_NOTES,
    (body) =>
      createOnce<Release>(
        github,
        async () =>
          (
            await api.repos.createRelease({
              owner,
              repo,
              tag_name: request.tag,
              name: request.name,
              body,
              draft: true,
              prerelease: request.prerelease ?? false,
              ...(request.commit === undefined ? {} : { target_commitish: request.commit }),
            })
          ).data,
        async () => (await drafts(github, request.tag))[0],
      ),
  );
  await github.clock.sleep(github.pace.settleMs);
  const [oldest] = await drafts(github, request.tag);
  if (oldest === undefined || oldest.id === made.id) return made;
  await unlessGone(api.repos.deleteRelease({ owner, repo, release_id: made.id }));
  return oldest;
}

/** Drafts of a tag, the oldest first. GitHub finds drafts by listing only. */
async function drafts(github: GitHub, tag: string): Promise<Release[]> {
  const { owner, repo, api, paginate } = github;
  const all = await paginate(api.repos.listReleases, { owner, repo, per_page: 100 });
  return all.filter((each) => each.draft && each.tag_name === tag).sort((a, b) => a.id - b.id);
}

async function attach(github: GitHub, release: Release, assets: readonly Asset[], tag: string) {
  const uploaded: string[] = [];
  const kept: string[] = [];
  const { owner, repo, api, paginate } = github;
  const list = () =>
    paginate(api.repos.listReleaseAssets, { owner, repo, release_id: release.id, per_page: 100 });
  const remove = (id: number) => unlessGone(api.repos.deleteReleaseAsset({ owner, repo, asset_id: id }));
  const isWhole = (there: { state: string; digest: string | null }, asset: Asset) =>
    there.state === 'uploaded' && there.digest === `sha256:${asset.sha256}`;

  for (const asset of assets) {
    const there = (await list()).find(({ name }) => name === asset.name);
    if (there !== undefined && isWhole(there, asset)) {
      kept.push(asset.name);
      continue;
    }
    if (release.immutable === true && !release.draft) {
      throw new InputError(
        `github: the release ${tag} is immutable and ${there === undefined ? 'has no' : 'has another'} ${asset.name}. ` +
          'Release under a new tag, or let this action make the release: it publishes when all is there.',
      );
    }
    // Another content, or what an upload that broke off has left.
    if (there !== undefined) await remove(there.id);
    const lookUp = async () => {
      const found = (await list()).find(({ name }) => name === asset.name);
      if (found === undefined || isWhole(found, asset)) return found;
      await remove(found.id);
      return undefined;
    };
    await createOnce(github, () => upload(github, release, asset), lookUp).catch(async (error: unknown) => {
      if (!isApiError(error) || error.status !== 422) throw error;
      // Another job was faster: its asset will do if it is the same.
      return (await lookUp()) ?? upload(github, release, asset);
    });
    uploaded.push(asset.name);
  }
  return { uploaded, kept };
}

async function upload(github: GitHub, release: Release, { name, file, size }: Asset) {
  const { owner, repo, api } = github;
  const blob = await openAsBlob(file);
  const answer = await api.repos.uploadReleaseAsset({
    owner,
    repo,
    release_id: release.id,
    // The host for uploads is another than the API's, and only the release says which.
    url: release.upload_url,
    name,
    headers: { 'content-type': typeOf(name), 'content-length': size },
    data: blob as unknown as string,
  });
  return answer.data;
}

function typeOf(name: string): string {
  if (name.endsWith('.json')) return 'application/json';
  if (name.endsWith('.html')) return 'text/html';
  if (name.endsWith('.md') || name === SUMS) return 'text/plain';
  return name.endsWith('.gz') ? 'application/gzip' : 'application/octet-stream';
}
