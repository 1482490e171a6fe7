/**
 * Cuts GitHub's OpenAPI description down to what the tests' server speaks.
 *
 *     npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
 *     node scripts/slim-openapi.ts package/generated/api.github.com.json
 *
 * The package has 385 MB unpacked, so it is no dependency: its cut, test/github/openapi.json.gz, is committed.
 * Descriptions go; examples stay, because the server's answers are made from them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const OPERATIONS = `
GET /user
GET /repos/{owner}/{repo}
GET /repos/{owner}/{repo}/collaborators/{username}/permission
GET /repos/{owner}/{repo}/issues/{issue_number}/comments
POST /repos/{owner}/{repo}/issues/{issue_number}/comments
GET /repos/{owner}/{repo}/issues/comments/{comment_id}
PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}
DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}
GET /repos/{owner}/{repo}/issues/{issue_number}/labels
GET /repos/{owner}/{repo}/issues/{issue_number}/events
GET /repos/{owner}/{repo}/pulls
GET /repos/{owner}/{repo}/pulls/{pull_number}
POST /repos/{owner}/{repo}/check-runs
GET /repos/{owner}/{repo}/check-runs/{check_run_id}
PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}
GET /repos/{owner}/{repo}/commits/{ref}/check-runs
GET /repos/{owner}/{repo}/releases
POST /repos/{owner}/{repo}/releases
GET /repos/{owner}/{repo}/releases/tags/{tag}
GET /repos/{owner}/{repo}/releases/{release_id}
PATCH /repos/{owner}/{repo}/releases/{release_id}
DELETE /repos/{owner}/{repo}/releases/{release_id}
GET /repos/{owner}/{repo}/releases/{release_id}/assets
POST /repos/{owner}/{repo}/releases/{release_id}/assets
GET /repos/{owner}/{repo}/releases/assets/{asset_id}
DELETE /repos/{owner}/{repo}/releases/assets/{asset_id}
GET /repos/{owner}/{repo}/actions/artifacts
GET /repos/{owner}/{repo}/actions/runs/{run_id}/artifacts
GET /repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}
`;

type Tree = { [key: string]: unknown };

const WORDS = ['description', 'summary', 'externalDocs', 'tags', 'x-github'];
const OUT = new URL('../test/github/openapi.json.gz', import.meta.url);

const source = process.argv[2];
const whole = JSON.parse(readFileSync(source, 'utf8')) as Tree;
const { title, version, license } = whole.info as Tree;
const paths: { [path: string]: Tree } = {};
const components: { [kind: string]: Tree } = {};
const slim = { openapi: whole.openapi, info: { title, version, license }, paths, components };

for (const line of OPERATIONS.trim().split('\n')) {
  const [method, path] = line.split(' ');
  const operation = (whole.paths as { [path: string]: Tree })[path]?.[method.toLowerCase()];
  if (operation === undefined) throw new Error(`slim-openapi: ${source} has no operation ${line}`);
  paths[path] ??= {};
  paths[path][method.toLowerCase()] = withoutWords(operation);
  keepReferences(paths[path][method.toLowerCase()]);
}
const text = JSON.stringify(slim);
const packed = gzipSync(text, { level: 9 });
writeFileSync(OUT, packed);
console.log(
  `${OPERATIONS.trim().split('\n').length} operations, ${text.length} bytes, ${packed.length} packed`,
);

/** Components that something kept refers to, and what those refer to. */
function keepReferences(value: unknown): void {
  if (value === null || typeof value !== 'object') return;
  const reference = (value as Tree).$ref;
  if (typeof reference === 'string') {
    const [, , kind, name] = reference.split('/');
    components[kind] ??= {};
    if (components[kind][name] === undefined) {
      const component = (whole.components as { [kind: string]: Tree })[kind][name];
      components[kind][name] = kind === 'examples' ? component : withoutWords(component);
      keepReferences(components[kind][name]);
    }
  }
  for (const inner of Object.values(value)) keepReferences(inner);
}

/** Without what only people read; examples hold data, which has descriptions of its own. */
function withoutWords(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutWords);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(
    // A property may be called "description": its value is a schema, not a text.
    ([key, inner]) =>
      !(
        WORDS.includes(key) &&
        (typeof inner === 'string' || key.startsWith('x-') || key === 'externalDocs' || Array.isArray(inner))
      ),
  );
  return Object.fromEntries(
    kept.map(([key, inner]) => [key, key === 'example' || key === 'examples' ? inner : withoutWords(inner)]),
  );
}
