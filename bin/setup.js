// Prepares a checkout and runs one of its programs: `npm start`, `npm test`, `npm run demo`, `npm run bench`.
// Installs dependencies when the lock file changed, and only what it pins; builds when a source is newer; does nothing otherwise.
// Plain JavaScript without dependencies: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installedProblems, lockProblems, scriptedPackages } from './pinned.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, 'node_modules', '.alterd-setup');
const say = (text) => process.stderr.write(`alterd: ${text}\n`);

function fail(text, hint) {
  process.stderr.write(`alterd: error: ${text}\n`);
  if (hint) process.stderr.write(`alterd: hint: ${hint}\n`);
  process.exit(1);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 12))
    fail(
      `Node ${process.versions.node} is too old: 20.12 or later is needed.`,
      'install Node 20 or 24, then run the command again',
    );
}

/** What the installed modules depend on: the lock file and the Node that compiled the native ones. */
function wantedStamp() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(process.versions.modules)
    .digest('hex');
}

const COMPILER_HINT =
  'a C++ compiler, make and python3 are needed to compile SQLite. `ALTERD_PREBUILT=1 npm start` fetches a ready-made binary, which no hash here pins';

/**
 * Native modules are compiled from what the lock file pins, against the headers beside this Node, where it has them.
 * SECURITY: else their install scripts would fetch a binary that nothing here has a hash of.
 */
function compilerEnvironment() {
  const env = { ...process.env };
  const prefix = dirname(dirname(process.execPath));
  if (existsSync(join(prefix, 'include', 'node', 'node.h'))) env.npm_config_nodedir ??= prefix;
  if (env.ALTERD_PREBUILT !== '1') env.npm_config_build_from_source = 'true';
  return env;
}

function refuse(problems, what) {
  if (problems.length === 0) return;
  const more = problems.length > 5 ? `, and ${problems.length - 5} more` : '';
  fail(
    `${what}: ${problems.slice(0, 5).join('; ')}${more}.`,
    'nothing was run. Take package.json and package-lock.json as they are in the repository: `git checkout package.json package-lock.json`',
  );
}

function run(command, args, hint) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: compilerEnvironment() });
  if (result.error) fail(`${command} can't be started: ${result.error.message}`, hint);
  if (result.status !== 0) fail(`\`${command} ${args.join(' ')}\` failed.`, hint);
}

function install() {
  const stamp = wantedStamp();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  say('installing dependencies and compiling SQLite: about two minutes, once.');
  const started = Date.now();
  refuse(lockProblems(root), 'package-lock.json does not pin what is to be installed');
  // Not `npm ci`: it refuses a lock file whose writer could not see the optional packages of other platforms.
  // SECURITY: no script runs before it is known that everything is what the lock file names.
  run(
    'npm',
    ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', '--package-lock', '--ignore-scripts'],
    'nothing of it was run. EINTEGRITY: what came is not what package-lock.json names; ask who runs the registry, or the proxy before it',
  );
  refuse(installedProblems(root), 'npm installed what package-lock.json does not name');
  for (const name of scriptedPackages(root))
    run('npm', ['rebuild', name, '--ignore-scripts=false', '--loglevel=error'], COMPILER_HINT);
  if (!existsSync(join(root, 'node_modules'))) mkdirSync(join(root, 'node_modules'));
  writeFileSync(stampFile, stamp);
  say(`dependencies installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

function newest(dir) {
  let time = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    time = Math.max(time, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return time;
}

/** @param script of package.json: `build` checks types too, `bundle` does not */
function build(script) {
  const marker = join(root, 'dist', `.${script}`);
  const main = join(root, 'dist', 'bundle', 'cli', 'main.cjs');
  // How it is built is as much of it as the sources are.
  const changed = Math.max(newest(join(root, 'src')), newest(join(root, 'bin')));
  if (existsSync(main) && existsSync(marker) && statSync(marker).mtimeMs >= changed) return;
  say('building');
  const started = new Date();
  run('npm', ['run', '--silent', script], 'this is a bug in the checkout: `npm run typecheck` shows it');
  // What is saved while it builds is newer than this. The whole build contains the bundle.
  for (const name of script === 'build' ? ['.build', '.bundle'] : ['.bundle']) {
    writeFileSync(join(root, 'dist', name), '');
    utimesSync(join(root, 'dist', name), started, started);
  }
}

function runCli(args) {
  process.argv = [process.argv[0], join(root, 'bin', 'alterd'), ...args];
  createRequire(import.meta.url)('../dist/bundle/cli/main.cjs');
}

function runTool(file, args) {
  const result = spawnSync(process.execPath, [join(root, 'node_modules', ...file), ...args], { cwd: root, stdio: 'inherit' });
  process.exit(result.status ?? 1);
}

const [what = 'start', ...rest] = process.argv.slice(2);
checkNode();
install();
build(what === 'bundle' ? 'bundle' : 'build');
if (what === 'test') runTool(['vitest', 'vitest.mjs'], ['run', ...rest]);
else if (what === 'bench') runTool(['tsx', 'dist', 'cli.mjs'], [join(root, 'test', 'bench', 'main.ts'), ...rest]);
else if (what === 'prepare') say('ready');
else if (what === 'bundle') process.exitCode = 0;
else runCli([what, ...rest]);
