/**
 * What the built program does with input that is wrong: it says what is wrong with all of it, changes nothing, and a running
 * daemon goes on. Starts that have to fail use a home of their own.
 */
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, type Ended, makeHome, StartFailure, startAlterd } from '../helpers/alterd-process.ts';

let alterd: AlterdProcess;
/** A stopped installation with a vault that has something in it. */
let seed = '';
const homes: string[] = [];

beforeAll(async () => {
  const first = await startAlterd();
  seed = first.home;
  homes.push(seed);
  await first.ok(['secret', 'add', 'bearer', '--host', 'api.example.test', '--token-stdin'], {
    input: 'SEKRET-marker-bad-input',
  });
  await first.ok(['agent', 'create', 'ada']);
  await first.stop({ keep: true });
  alterd = await startAlterd();
});
afterAll(async () => {
  await alterd?.stop();
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

function copyOfSeed(): string {
  const home = makeHome();
  homes.push(home);
  cpSync(seed, home, { recursive: true });
  return home;
}

async function failToStart(home: string, ...flags: string[]): Promise<Ended> {
  try {
    const started = await startAlterd({ home, flags });
    await started.stop({ keep: true });
  } catch (error) {
    if (error instanceof StartFailure) return error.end;
    throw error;
  }
  throw new Error('alterd started');
}

/** Every file below a directory with its content. */
function contents(dir: string, base = dir): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dir, { withFileTypes: true }).flatMap((entry): [string, string][] => {
      const path = join(dir, entry.name);
      if (entry.isDirectory()) return Object.entries(contents(path, base));
      if (!entry.isFile()) return [];
      return [[path.slice(base.length), createHash('sha256').update(readFileSync(path)).digest('hex')]];
    }),
  );
}

describe('a wrong configuration', () => {
  const WRONG =
    'egress = "maybe"\nfoo = 1\n[listen]\ntcp = "0.0.0.0:80"\n[timeouts]\nconnect_ms = "soon"\n[limits]\nresolve = {}\n';

  it('is refused with every problem, its path and its line, with status 2, and nothing is made', async () => {
    const home = makeHome(WRONG);
    homes.push(home);
    const before = contents(home);
    const end = await alterd.cli(['--home', home, 'start']);
    expect(end.status).toBe(2);
    expect(end.stdout).toBe('');
    for (const [line, path] of [
      [1, 'egress'],
      [2, 'foo'],
      [4, 'listen.tcp'],
      [6, 'timeouts.connect_ms'],
      [8, 'limits.resolve'],
    ]) {
      expect(end.stderr).toMatch(new RegExp(`alterd: error: .*alterd\\.toml:${line}: ${path} `));
    }
    expect(contents(home)).toEqual(before);
    expect(existsSync(join(home, 'state'))).toBe(false);
  });

  it('is refused in the environment too', async () => {
    const home = makeHome();
    homes.push(home);
    const end = await alterd.cli(['--home', home, 'start'], { env: { ALTERD_EGRES: 'refuse', ALTERD_LOG_LEVEL: 'loud' } });
    expect(end.status).toBe(2);
    expect(end.stderr).toContain('ALTERD_EGRES is not a known variable');
    expect(end.stderr).toContain('ALTERD_LOG_LEVEL (log.level)');
  });

  it('does not reach a running daemon that is told to reload', async () => {
    const file = join(alterd.home, 'config', 'alterd.toml');
    writeFileSync(file, WRONG);
    alterd.signal('SIGHUP');
    await expect.poll(() => alterd.log()).toContain('the old one stays in force');
    expect(alterd.log()).toContain('timeouts.connect_ms');
    expect(await alterd.json(['status'])).toMatchObject({ pid: alterd.pid });
    writeFileSync(file, '');
    alterd.signal('SIGHUP');
    await expect.poll(() => alterd.log()).toContain('configuration reloaded');
  });
});

describe('a vault that is not right', () => {
  const dbOf = (home: string): string => join(home, 'state', 'vault.db');
  const cases: readonly { what: string; spoil: (db: string, home: string) => void; why: RegExp }[] = [
    { what: 'text', spoil: (db) => writeFileSync(db, 'this is no database\n'.repeat(50)), why: /not an SQLite database/ },
    { what: 'cut short', spoil: (db) => truncateSync(db, Math.floor(statSync(db).size / 2)), why: /cut short|damaged/ },
    {
      what: 'overwritten in the middle',
      spoil: (db) => {
        const bytes = readFileSync(db);
        bytes.fill(0xa5, 4096, Math.min(bytes.length, 4 * 4096));
        writeFileSync(db, bytes);
      },
      why: /damaged/,
    },
    {
      what: 'the database of another program',
      spoil: (db) => {
        rmSync(db);
        const other = new Database(db);
        other.exec("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')");
        other.close();
        chmodSync(db, 0o600);
      },
      why: /not one of alterd/,
    },
    { what: 'without its master key', spoil: (_db, home) => rmSync(join(home, 'config', 'master.key')), why: /key/ },
    {
      what: 'with another master key',
      spoil: (_db, home) => {
        const file = join(home, 'config', 'master.key');
        const text = readFileSync(file, 'utf8');
        writeFileSync(
          file,
          text.replace(/[A-Za-z0-9]{8}/, (part) => [...part].reverse().join('')),
        );
      },
      why: /key/,
    },
  ];

  it.each(cases)('$what: refused with the reason, and no byte of it is touched', async ({ spoil, why }) => {
    const home = copyOfSeed();
    spoil(dbOf(home), home);
    const before = contents(home);
    const end = await failToStart(home);
    expect(end.status).toBe(1);
    expect(end.stderr).toMatch(/alterd: error: /);
    expect(end.stderr).toMatch(why);
    expect(end.stderr).toMatch(/alterd: hint: /);
    expect(end.stderr + end.stdout).not.toContain('SEKRET');
    const after = contents(home);
    expect(after['/state/vault.db']).toBe(before['/state/vault.db']);
    expect(Object.keys(after).filter((path) => after[path] !== before[path])).toEqual([]);
  });

  it('a journal of another program: refused, and untouched', async () => {
    const home = copyOfSeed();
    const file = readdirSync(join(home, 'state', 'audit')).find((name) => name.endsWith('.db')) ?? '';
    const path = join(home, 'state', 'audit', file);
    rmSync(path);
    for (const side of ['-wal', '-shm']) rmSync(path + side, { force: true });
    const other = new Database(path);
    other.exec('CREATE TABLE notes (text TEXT)');
    other.close();
    const before = contents(join(home, 'state', 'audit'));
    const end = await failToStart(home);
    expect(end.status).toBe(1);
    expect(end.stderr).toMatch(/alterd: error: .*audit/i);
    expect(contents(join(home, 'state', 'audit'))[`/${file}`]).toBe(before[`/${file}`]);
  });
});

describe('a start that collides', () => {
  it('with a port in use: says which and how to choose another', async () => {
    const end = await failToStart(copyOfSeed(), '--listen', `127.0.0.1:${alterd.port}`);
    expect(end.status).toBe(5);
    expect(end.stderr).toContain(`127.0.0.1:${alterd.port}`);
    expect(end.stderr).toMatch(/alterd: hint: .*--listen/);
  });

  it('with a daemon on the same home: says so, and the first goes on', async () => {
    const end = await failToStart(alterd.home);
    expect(end.status).not.toBe(0);
    expect(end.stderr).toMatch(/alterd: error: .*(in use|already|another)/i);
    expect(await alterd.json(['status'])).toMatchObject({ pid: alterd.pid });
  });
});

describe('a client', () => {
  const talk = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let answer = '';
      const socket = connect(alterd.port, '127.0.0.1', () => socket.write(text, 'latin1'));
      socket.setEncoding('latin1').on('data', (part) => {
        answer += part;
        if (answer.includes('407 ')) socket.end();
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(answer));
    });

  it('with an unknown key gets 407 and the way to ask again', async () => {
    const key = Buffer.from('ada:alter_key_agent_unknown').toString('base64');
    const answer = await talk(
      `CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\nProxy-Authorization: Basic ${key}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 407 /);
    expect(answer).toMatch(/\r\nProxy-Authenticate: Basic /i);
    expect(answer).toMatch(/\r\nAlter-Error: caller_unauthenticated\r\n/);
  });

  it.each([
    ['two Host headers', 'GET http://a.example.test/ HTTP/1.1\r\nHost: a.example.test\r\nHost: b.example.test\r\n\r\n'],
    [
      'two lengths',
      'POST http://a.example.test/ HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    ],
    ['a space in a name', 'GET http://a.example.test/ HTTP/1.1\r\nHost : a.example.test\r\n\r\n'],
    ['bytes that are no HTTP', '\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n'],
  ])('that sends %s gets 400 and is cut off', async (_what, text) => {
    const answer = await talk(text);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toMatch(/\r\nAlter-Error: malformed_request\r\n/);
    expect(await alterd.json(['status'])).toMatchObject({ pid: alterd.pid });
  });
});

describe('a good start', () => {
  it('prints one ready line with the address that the kernel chose', () => {
    expect(alterd.ready).toMatchObject({ level: 'info', msg: 'ready', pid: alterd.pid, proxy_tcp: `127.0.0.1:${alterd.port}` });
    expect(alterd.port).toBeGreaterThan(0);
  });

  it('tells the same address in its status', async () => {
    expect(await alterd.json(['status'])).toMatchObject({
      pid: alterd.pid,
      proxy: { tcp: `127.0.0.1:${alterd.port}`, unix: join(alterd.home, 'state', 'proxy.sock') },
      audit: { healthy: true },
    });
  });

  it('ends with status 0 on SIGTERM, and the next CLI call says that there is no daemon', async () => {
    const own = await startAlterd();
    homes.push(own.home);
    expect((await own.stop({ keep: true })).status).toBe(0);
    const end = await own.cli(['status']);
    expect(end.status).toBe(1);
    expect(end.stderr).toMatch(/alterd: hint: .*alterd start/);
  });
});
