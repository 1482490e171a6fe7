/**
 * Generates `src/onnx/proto/onnx_pb.{js,d.ts}` from `src/onnx/proto/onnx.proto`, the schema of the ONNX format.
 *
 *   node scripts/generate-onnx-proto.mjs
 *
 * To follow a newer ONNX, replace `onnx.proto` by `onnx-ml.proto` of the PyPI package `onnx` and run this again.
 * JavaScript with a declaration beside it rather than TypeScript: generated TypeScript holds enums, which Node's
 * type stripping refuses.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);
// The platform package's binary: the launcher of @bufbuild/buf wants its install script to have run.
const buf = resolve(
  dirname(require.resolve(`@bufbuild/buf-${process.platform}-${process.arch}/package.json`)),
  'bin/buf',
);
const template = {
  version: 'v2',
  plugins: [
    {
      local: [process.execPath, resolve(root, 'node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es')],
      out: 'src/onnx/proto',
      opt: ['target=js+dts', 'import_extension=js'],
    },
  ],
};
const { status, error } = spawnSync(
  buf,
  ['generate', 'src/onnx/proto', '--template', JSON.stringify(template)],
  { cwd: root, stdio: 'inherit' },
);
if (error) throw error;
process.exit(status ?? 1);
