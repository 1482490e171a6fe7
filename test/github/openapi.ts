/**
 * GitHub's OpenAPI description as a judge: whether a request and an answer are as GitHub has them.
 * The description is a cut (scripts/slim-openapi.ts): an operation that is not in it does not exist here.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';

type Tree = { readonly [key: string]: unknown };

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: Tree;
}

export interface Operation {
  /** `issues/create-comment` */
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly Parameter[];
  /** Of a JSON body. */
  readonly body: Tree | undefined;
  readonly needsBody: boolean;
  readonly responses: Tree;
  /** On the host for uploads, not the API's. */
  readonly isUpload: boolean;
}

export interface Matched {
  readonly operation: Operation;
  readonly params: Readonly<Record<string, string>>;
}

export interface Judge {
  match(method: string, path: string): Matched | undefined;
  /** What is wrong with a request, one sentence each. */
  request(matched: Matched, query: URLSearchParams, body: unknown): string[];
  answer(operation: Operation, status: number, body: unknown): string[];
  /** GitHub's own example of the answer, a fresh copy. */
  example(operationId: string): unknown;
}

const FILE = new URL('openapi.json.gz', import.meta.url);

export function openJudge(): Judge {
  const document = JSON.parse(gunzipSync(readFileSync(FILE)).toString()) as Tree;
  const follow = <T>(value: unknown): T => {
    const reference = (value as Tree | undefined)?.$ref;
    if (typeof reference !== 'string') return value as T;
    const keys = reference.slice(2).split('/');
    return keys.reduce<unknown>((at, key) => (at as Tree)[key], document) as T;
  };
  const schemas = named((document.components as { schemas: Tree }).schemas);
  const open = (coerceTypes: boolean) => {
    const ajv = new Ajv({ strict: false, allErrors: true, coerceTypes, logger: false });
    (addFormats as unknown as (ajv: Ajv) => void)(ajv);
    return ajv.addSchema({ $id: 'github', components: { schemas } } as object);
  };
  const [bodies, texts] = [open(false), open(true)];
  const compiled = new Map<string, ValidateFunction>();
  const problems = (key: string, ajv: Ajv, schema: Tree, value: unknown): string[] => {
    const validate = compiled.get(key) ?? ajv.compile(asJsonSchema(schema) as object);
    compiled.set(key, validate);
    if (validate(value)) return [];
    return (validate.errors ?? []).slice(0, 4).map((e) => `${e.instancePath || '(whole)'} ${e.message}`);
  };

  const routes = Object.entries(document.paths as { [path: string]: { [method: string]: Tree } })
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, given]) => {
        const requestBody = follow<Tree | undefined>(given.requestBody);
        const servers = given.servers as readonly { url: string }[] | undefined;
        const operation: Operation = {
          id: given.operationId as string,
          method: method.toUpperCase(),
          path,
          parameters: ((given.parameters as unknown[]) ?? []).map((each) => follow<Parameter>(each)),
          body: ((requestBody?.content as Tree)?.['application/json'] as Tree)?.schema as Tree | undefined,
          needsBody: requestBody?.required === true,
          responses: given.responses as Tree,
          isUpload: servers?.[0]?.url.includes('uploads') ?? false,
        };
        const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
        const pattern = path
          .replace(/\./g, '\\.')
          .replace(/\{(\w+)\}/g, (_, name) => (name === 'ref' || name === 'tag' ? '(.+)' : '([^/]+)'));
        // The more literal, the sooner: /issues/comments/7 is no issue.
        const weight = path.replace(/\{\w+\}/g, '').length;
        return { operation, names, pattern: new RegExp(`^${pattern}$`), weight };
      }),
    )
    .sort((a, b) => b.weight - a.weight);

  const schemaOf = (operation: Operation, status: number): Tree | undefined => {
    const response = follow<Tree | undefined>(operation.responses[String(status)]);
    return ((response?.content as Tree)?.['application/json'] as Tree)?.schema as Tree | undefined;
  };
  const object = (parameters: readonly Parameter[], isClosed: boolean): Tree => ({
    type: 'object',
    properties: Object.fromEntries(parameters.map((p) => [p.name, p.schema])),
    required: parameters.filter((p) => p.required).map((p) => p.name),
    additionalProperties: !isClosed,
  });

  return {
    match(method, path) {
      for (const { operation, names, pattern } of routes) {
        const found = operation.method === method ? pattern.exec(path) : null;
        if (found === null) continue;
        return { operation, params: Object.fromEntries(names.map((name, i) => [name, found[i + 1]])) };
      }
      return undefined;
    },
    request({ operation, params }, query, body) {
      const { id, parameters } = operation;
      const inPath = object(
        parameters.filter((p) => p.in === 'path'),
        false,
      );
      const inQuery = object(
        parameters.filter((p) => p.in === 'query'),
        true,
      );
      const found = [
        ...problems(`path ${id}`, texts, inPath, { ...params }),
        ...problems(`query ${id}`, texts, inQuery, Object.fromEntries(query)),
      ];
      if (body === undefined) return operation.needsBody ? [...found, 'the body is missing'] : found;
      if (operation.body === undefined) return found;
      const known = (follow<Tree>(operation.body).properties ?? {}) as Tree;
      const unknown = Object.keys(body as Tree).filter((key) => !(key in known));
      return [
        ...found,
        ...problems(`body ${id}`, bodies, operation.body, body),
        ...unknown.map((key) => `the body has an unknown field ${key}`),
      ];
    },
    answer(operation, status, body) {
      if (operation.responses[String(status)] === undefined) {
        // Faults and refusals that every operation may answer need no description of their own.
        return status >= 400 ? [] : [`${operation.id} never answers ${status}`];
      }
      const schema = schemaOf(operation, status);
      return schema === undefined ? [] : problems(`${status} ${operation.id}`, bodies, schema, body);
    },
    example(operationId) {
      const { operation } = routes.find((route) => route.operation.id === operationId)!;
      const status = Object.keys(operation.responses).find((code) => code.startsWith('2'))!;
      const content = (follow<Tree>(operation.responses[status]).content as Tree)['application/json'] as Tree;
      const first = Object.values((content.examples ?? {}) as Tree)[0];
      return structuredClone(follow<Tree | undefined>(first)?.value);
    },
  };
}

/** Keywords under which names, not keywords, come next. */
const NAMES = ['properties', 'patternProperties'];
const SKIPPED = ['nullable', 'example', 'examples', 'discriminator', 'xml'];

/** OpenAPI 3.0's schemas as JSON Schema: `nullable` becomes a type, references find the components. */
function asJsonSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asJsonSchema);
  if (value === null || typeof value !== 'object') return value;
  const tree = value as Tree;
  const schema: { [key: string]: unknown } = {};
  for (const [key, inner] of Object.entries(tree)) {
    if (SKIPPED.includes(key)) continue;
    if (key === '$ref') schema[key] = (inner as string).replace('#/', 'github#/');
    else schema[key] = NAMES.includes(key) ? named(inner as Tree) : asJsonSchema(inner);
  }
  if (tree.nullable !== true) return schema;
  if (Array.isArray(schema.enum) && !schema.enum.includes(null)) schema.enum = [...schema.enum, null];
  if (typeof schema.type === 'string') return { ...schema, type: [schema.type, 'null'] };
  return { anyOf: [{ type: 'null' }, schema] };
}

const named = (schemas: Tree): Tree =>
  Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, asJsonSchema(schema)]));
