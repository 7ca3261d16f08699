// Prepares a checkout and runs one of its programs: `npm start`, `npm test`, `npm run demo`, `npm run bench`.
// Installs dependencies when the lock file changed, builds when a source is newer, and does nothing otherwise.
// Plain JavaScript without dependencies: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

/** Native modules are compiled against the headers beside this Node, where it has them: nothing has to be fetched then. */
function compilerEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  const hasHeaders = existsSync(join(prefix, 'include', 'node', 'node.h'));
  return hasHeaders && process.env.npm_config_nodedir === undefined
    ? { ...process.env, npm_config_nodedir: prefix }
    : process.env;
}

function run(command, args, hint) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: compilerEnvironment() });
  if (result.error) fail(`${command} can't be started: ${result.error.message}`, hint);
  if (result.status !== 0) fail(`\`${command} ${args.join(' ')}\` failed.`, hint);
}

function install() {
  const stamp = wantedStamp();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  say('installing dependencies. SQLite may have to be compiled: about two minutes, once.');
  const started = Date.now();
  // Not `npm ci`: it refuses a lock file whose writer could not see the optional packages of other platforms.
  run(
    'npm',
    ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'],
    'a C++ compiler, make and python3 are needed to compile SQLite',
  );
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
  if (existsSync(main) && existsSync(marker) && statSync(marker).mtimeMs >= newest(join(root, 'src'))) return;
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
