/**
 * S-88: bin/setup.js installs the bytes that the lock file names and runs nothing else, against a registry of loopback that serves what it
 * likes. Real npm, with a home, a cache and settings of its own.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePki } from '../helpers/pki.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const directory = temporaryDirectory();
const pki = makePki();

/** What the registry has, by name. */
interface Shelf {
  readonly bytes: Buffer;
  /** Over plain HTTP, where a redirect leads. */
  readonly isRedirected: boolean;
}
const shelves = new Map<string, Shelf>();
const plainly: string[] = [];

const plain = createServer((request, response) => {
  const name = request.url?.slice(1) ?? '';
  plainly.push(name);
  response.end(shelves.get(name)?.bytes);
});
const registry = createSecureServer({ SNICallback: (name, done) => done(null, pki.contextFor(name)) }, (request, response) => {
  const [, name = '', isTarball] = request.url?.split('/') ?? [];
  const shelf = shelves.get(name);
  if (shelf === undefined) response.writeHead(404).end('{}');
  else if (isTarball === undefined) response.end(JSON.stringify(packumentOf(name)));
  else if (shelf.isRedirected) response.writeHead(302, { location: `http://127.0.0.1:${portOf(plain)}/${name}` }).end();
  else response.end(shelf.bytes);
});
registry.addContext('localhost', pki.contextFor('localhost'));
const portOf = (server: typeof plain | typeof registry): number => (server.address() as AddressInfo).port;

/** It says of its bytes what the lock file says, whatever they are. */
const packumentOf = (name: string): object => ({
  name,
  'dist-tags': { latest: '1.0.0' },
  versions: {
    '1.0.0': {
      ...manifestOf(name),
      hasInstallScript: true,
      dist: {
        tarball: `https://localhost:${portOf(registry)}/${name}/-/${name}-1.0.0.tgz`,
        integrity: integrityOf(GOOD[name] as Buffer),
      },
    },
  },
});

/** The script says in the project that it ran. */
const manifestOf = (name: string): object => ({
  name,
  version: '1.0.0',
  scripts: { install: `node -e "require('fs').writeFileSync(process.env.INIT_CWD + '/${name}.ran', '')"` },
});

const integrityOf = (bytes: Buffer): string => `sha512-${createHash('sha512').update(bytes).digest('base64')}`;

function packed(name: string, more = ''): Buffer {
  const dir = directory();
  mkdirSync(join(dir, 'package'));
  writeFileSync(join(dir, 'package', 'package.json'), JSON.stringify(manifestOf(name)));
  writeFileSync(join(dir, 'package', 'index.js'), `// ${more}\n`);
  return execFileSync('tar', ['-cz', '-C', dir, 'package']);
}

const GOOD: Record<string, Buffer> = { listed: packed('listed'), unlisted: packed('unlisted') };

/** A checkout with the real installer, two packages, and nothing to build. */
function checkout(more: Record<string, string> = {}): string {
  const dir = directory();
  cpSync(join(ROOT, 'bin'), join(dir, 'bin'), { recursive: true });
  for (const each of ['src', 'dist']) mkdirSync(join(dir, each));
  const project = {
    name: 'checkout',
    version: '1.0.0',
    type: 'module',
    scripts: { build: 'true' },
    dependencies: { listed: '1.0.0', unlisted: '1.0.0' },
  };
  const pinned = Object.keys(project.dependencies).map((name) => [
    `node_modules/${name}`,
    { version: '1.0.0', integrity: integrityOf(GOOD[name] as Buffer), hasInstallScript: true },
  ]);
  const lock = { ...project, lockfileVersion: 3, requires: true, packages: { '': project, ...Object.fromEntries(pinned) } };
  const asked = {
    ...project,
    dependencies: { ...project.dependencies, ...more },
    allowScripts: { listed: true },
  };
  writeFileSync(join(dir, 'package.json'), JSON.stringify(asked));
  writeFileSync(join(dir, 'package-lock.json'), JSON.stringify(lock));
  return dir;
}

function setUp(dir: string): Promise<{ code: number | null; said: string; ran: string[] }> {
  const home = directory();
  const settings = {
    registry: `https://localhost:${portOf(registry)}/`,
    ...{ cache: join(home, 'cache'), userconfig: join(home, 'user'), globalconfig: join(home, 'global') },
    ...{ cafile: pki.caFile, fetch_retries: '0', update_notifier: 'false' },
  };
  const env = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`npm_config_${name}`, value]));
  const path = `${dirname(process.execPath)}:${process.env.PATH}`;
  const child = spawn(process.execPath, [join(dir, 'bin', 'setup.js'), 'prepare'], {
    cwd: dir,
    env: { ...env, HOME: home, PATH: path },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
  return new Promise((resolve) =>
    child.once('close', (code) =>
      resolve({ code, said, ran: ['listed', 'unlisted', 'extra'].filter((name) => existsSync(join(dir, `${name}.ran`))) }),
    ),
  );
}

beforeAll(async () => {
  for (const server of [plain, registry]) await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
});
afterAll(() => {
  for (const server of [plain, registry]) server.close();
});

describe('with a registry', () => {
  it('S-88 the right bytes are installed, by a redirect to plain HTTP too, and only listed scripts run', async () => {
    shelves.set('listed', { bytes: GOOD.listed as Buffer, isRedirected: true });
    shelves.set('unlisted', { bytes: GOOD.unlisted as Buffer, isRedirected: false });
    const dir = checkout();
    expect(await setUp(dir)).toMatchObject({ code: 0, ran: ['listed'] });
    expect(existsSync(join(dir, 'node_modules', 'unlisted', 'index.js'))).toBe(true);
    expect(plainly).toEqual(['listed']);
  });

  it.each([
    ['from the registry itself', false],
    ['behind a redirect to plain HTTP', true],
  ])('S-88 other bytes %s end the set-up, and nothing of them runs', async (_where, isRedirected) => {
    shelves.set('listed', { bytes: GOOD.listed as Buffer, isRedirected: false });
    shelves.set('unlisted', { bytes: packed('unlisted', 'evil'), isRedirected });
    const { code, said, ran } = await setUp(checkout());
    expect({ code, ran }).toEqual({ code: 1, ran: [] });
    expect(said).toMatch(/EINTEGRITY/);
    expect(said).toMatch(/hint: nothing of it was run/);
  });

  it('S-88 what the lock file does not name is not run, and ends the set-up', async () => {
    for (const name of ['listed', 'unlisted', 'extra']) {
      GOOD[name] ??= packed(name);
      shelves.set(name, { bytes: GOOD[name], isRedirected: false });
    }
    const dir = checkout({ extra: '1.0.0' });
    const { code, said, ran } = await setUp(dir);
    expect({ code, ran }).toEqual({ code: 1, ran: [] });
    expect(said).toMatch(/npm installed what package-lock.json does not name: node_modules\/extra 1\.0\.0/);
  });
});

it.each<[string, object]>([
  ['has no hash', { integrity: undefined }],
  ['has a weak hash', { integrity: `sha1-${Buffer.alloc(20).toString('base64')}` }],
  ['has a weak hash beside a good one', { integrity: `sha1-AAAA ${integrityOf(Buffer.alloc(1))}` }],
  ['comes over plain HTTP', { resolved: 'http://localhost/listed.tgz' }],
  ['comes from git', { resolved: 'git+ssh://git@localhost/listed.git' }],
  ['is a link', { link: true, integrity: undefined }],
])('S-88 a lock file with a package that %s is refused before npm starts', async (_what, change) => {
  const dir = checkout();
  const file = join(dir, 'package-lock.json');
  const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, object> };
  Object.assign(lock.packages['node_modules/listed'] as object, change);
  writeFileSync(file, JSON.stringify(lock));
  const { code, said } = await setUp(dir);
  expect(code).toBe(1);
  expect(said).toMatch(/package-lock.json does not pin what is to be installed: node_modules\/listed .*\n.*hint: /);
  expect(existsSync(join(dir, 'node_modules'))).toBe(false);
});

it('S-88 every package of this checkout is pinned, and each one with a script is decided on', async () => {
  const { lockProblems, scriptedPackages } = (await import(pathToFileURL(join(ROOT, 'bin', 'pinned.js')).href)) as {
    lockProblems(root: string): string[];
    scriptedPackages(root: string): string[];
  };
  expect(lockProblems(ROOT)).toEqual([]);
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { hasInstallScript?: boolean }>;
  };
  const { allowScripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    allowScripts: Record<string, boolean>;
  };
  const scripted = Object.keys(packages).filter((path) => packages[path]?.hasInstallScript === true);
  expect(
    scripted.map((path) => path.replace(/^.*node_modules\//, '')).filter((name) => allowScripts[name] === undefined),
  ).toEqual([]);
  expect(scriptedPackages(ROOT)).toEqual(['better-sqlite3']);
});
