// The last step of the build: puts the sources and the packages that they import into one file for each program, in dist/bundle.
// A start from single modules spends most of its time on finding and reading some 700 of them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT = join(root, 'dist', 'bundle');

const SHARED = {
  absWorkingDir: root,
  outdir: OUT,
  outbase: 'src',
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  // Native modules, and what is loaded late by `require`.
  external: ['better-sqlite3', 'keytar', 'graphql', 'pg'],
  define: { 'import.meta.url': '__url' },
  // `import()` needs a callback that code which was kept has lost; all that is left out can be required.
  supported: { 'dynamic-import': false },
  // Names stay: stacks are read by people.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  write: false,
};
// The directive has to be the first statement: the sources are modules, which are strict, and rely on it.
const URL_LINE = "'use strict'; const __url = require('node:url').pathToFileURL(__filename).href;";

/** Threads and children (src/runtime/root.ts, `ownModule`): modules as Node loads them by itself. */
const programs = await build({
  ...SHARED,
  entryPoints: ['src/journal/writer.ts', 'src/sinks/worker.ts', 'src/crypto/keyring-child.ts'],
  banner: { js: URL_LINE },
});
/** The command line: an expression, which bin/loader.cjs compiles. */
const main = await build({
  ...SHARED,
  entryPoints: ['src/cli/main.ts'],
  banner: { js: `(function (exports, require, module, __filename) {${URL_LINE}` },
  footer: { js: '})' },
});

const files = new Set([join(OUT, 'cli', 'main.code')]);
for (const { path, contents } of programs.outputFiles) put(path, contents);
put(join(OUT, 'cli', 'main.script'), main.outputFiles[0].contents);
put(join(OUT, 'cli', 'main.cjs'), readFileSync(join(root, 'bin', 'loader.cjs')));
removeOthers();
keepCompiled();

/** In one step: whoever starts meanwhile finds the file of before or this one. */
function put(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, contents);
  renameSync(`${path}.new`, path);
  files.add(path);
}

/** What earlier versions put there, in other forms. */
function removeOthers() {
  for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (!entry.isDirectory() && !files.has(path)) rmSync(path);
  }
}

/** A start is slower without, and not worse. */
function keepCompiled() {
  const home = mkdtempSync(join(tmpdir(), 'alterd-build-'));
  // Nothing of whoever builds: no variable may lead to an installation of theirs.
  const env = { PATH: process.env.PATH, HOME: home };
  const made = spawnSync(process.execPath, [join(root, 'bin', 'code-cache.js'), home], { encoding: 'utf8', env });
  rmSync(home, { recursive: true, force: true });
  if (made.status === 0) return;
  process.stderr.write(`alterd: warning: starts will be slower, as V8's code was not kept:\n${made.stderr}`);
}
