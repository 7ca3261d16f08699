import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { MIGRATIONS, type Migration } from '../../../src/store/migrations.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { agentRow, credentialRow, dataKeyRow, sealedRow } from './store-rows.ts';

const directory = temporaryDirectory();
const unavailable = (reason: RegExp) =>
  expect.objectContaining({ code: 'vault_unavailable', message: expect.stringMatching(reason) });

/** A closed database with some rows. */
async function vaultFile(): Promise<string> {
  const dbFile = join(directory(), 'vault.db');
  const store = await openSqliteStore({ dbFile });
  await store.apply([{ put: 'agent', row: agentRow('a1') }], 0);
  await store.close();
  return dbFile;
}

/** Every file of a directory but the lock, byte for byte. */
const contentOf = (folder: string): [string, string][] =>
  readdirSync(folder)
    .filter((name) => !name.endsWith('.lock'))
    .sort()
    .map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ]);

async function refusedUntouched(dbFile: string, reason: RegExp): Promise<void> {
  const before = contentOf(dirname(dbFile));
  await expect(openSqliteStore({ dbFile })).rejects.toThrow(unavailable(reason));
  expect(contentOf(dirname(dbFile))).toEqual(before);
}

const editFile = (dbFile: string, sql: string): void => {
  const db = new Database(dbFile);
  db.exec(sql);
  db.close();
};

describe('a database file that is refused and left as it is', () => {
  it('is no database', async () => {
    const dbFile = join(directory(), 'vault.db');
    writeFileSync(dbFile, 'a letter to somebody, that is long enough to be a header of a database '.repeat(4), { mode: 0o600 });
    await refusedUntouched(dbFile, /not an SQLite database/);
  });

  it.each(['delete', 'wal'])('is an empty file or one of another program (journal mode %s)', async (mode) => {
    const dbFile = join(directory(), 'vault.db');
    writeFileSync(dbFile, '', { mode: 0o600 });
    await refusedUntouched(dbFile, /not an SQLite database/);
    editFile(dbFile, `pragma journal_mode = ${mode}; create table letters (text); insert into letters values ('dear')`);
    await refusedUntouched(dbFile, /not one of alterd/);
  });

  it.each([0.3, 0.6, 0.95])('is cut off at %f of its length', async (part) => {
    const dbFile = await vaultFile();
    truncateSync(dbFile, Math.floor(statSync(dbFile).size * part));
    await refusedUntouched(dbFile, /cut short/);
  });

  it('is damaged inside', async () => {
    const dbFile = await vaultFile();
    const bytes = readFileSync(dbFile);
    bytes.fill(0xff, 4096, 4096 * 2);
    writeFileSync(dbFile, bytes);
    await refusedUntouched(dbFile, /damaged/);
  });

  it('has a newer schema', async () => {
    const dbFile = await vaultFile();
    editFile(dbFile, 'pragma user_version = 99');
    await refusedUntouched(dbFile, /schema version 99/);
  });

  it('has a migration that is not the one known here', async () => {
    const dbFile = await vaultFile();
    editFile(dbFile, `update migrations set checksum = 'other'`);
    await refusedUntouched(dbFile, /not the one that this alterd made/);
  });

  it.each([0o640, 0o604, 0o660, 0o666])('has mode %o', async (mode) => {
    const dbFile = await vaultFile();
    chmodSync(dbFile, mode);
    await refusedUntouched(dbFile, /mode 0/);
  });

  it('is a symbolic link, or lies in a linked directory, or has a link beside it', async () => {
    const target = await vaultFile();
    const linked = join(directory(), 'vault.db');
    symlinkSync(target, linked);
    await refusedUntouched(linked, /not a regular file/);
    const folderLink = join(directory(), 'state');
    symlinkSync(dirname(target), folderLink);
    await expect(openSqliteStore({ dbFile: join(folderLink, 'vault.db') })).rejects.toThrow(unavailable(/symbolic link/));
    const beside = await vaultFile();
    symlinkSync('/nowhere', `${beside}-wal`);
    await expect(openSqliteStore({ dbFile: beside })).rejects.toThrow(unavailable(/not a regular file/));
  });

  it('has a planted link in place of its lock', async () => {
    const folder = directory();
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'precious', { mode: 0o600 });
    symlinkSync(victim, join(folder, 'vault.db.lock'));
    await expect(openSqliteStore({ dbFile: join(folder, 'vault.db') })).rejects.toThrow(unavailable(/not a regular file/));
    expect(readFileSync(victim, 'utf8')).toBe('precious');
  });

  it('would lie where others can write', async () => {
    const shared = join(directory(), 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o770);
    await expect(openSqliteStore({ dbFile: join(shared, 'vault.db') })).rejects.toThrow(unavailable(/written by other users/));
    await expect(openSqliteStore({ dbFile: join(shared, 'own', 'vault.db') })).rejects.toThrow(
      unavailable(/written by other users/),
    );
    expect(existsSync(join(shared, 'vault.db'))).toBe(false);
  });
});

describe('a database file that is made', () => {
  it('is private in a private directory, with its side files, whatever the umask', async () => {
    const dbFile = join(directory(), 'state', 'deeper', 'vault.db');
    const before = process.umask(0);
    try {
      const store = await openSqliteStore({ dbFile });
      await store.apply([{ put: 'agent', row: agentRow('a1') }], 0);
      expect(statSync(dirname(dbFile)).mode & 0o777).toBe(0o700);
      const modes = readdirSync(dirname(dbFile)).map((name) => [name, statSync(join(dirname(dbFile), name)).mode & 0o777]);
      expect(modes.sort()).toEqual(['vault.db', 'vault.db-shm', 'vault.db-wal', 'vault.db.lock'].map((name) => [name, 0o600]));
      await store.close();
    } finally {
      process.umask(before);
    }
  });

  it('takes the place of what a crash left of an earlier try', async () => {
    const dbFile = join(directory(), 'vault.db');
    writeFileSync(`${dbFile}.new`, 'half', { mode: 0o600 });
    writeFileSync(`${dbFile}.new-journal`, 'half', { mode: 0o600 });
    await (await openSqliteStore({ dbFile })).close();
    expect(readdirSync(dirname(dbFile)).sort()).toEqual(['vault.db', 'vault.db.lock']);
  });

  it('keeps no bytes of what was removed', async () => {
    const dbFile = join(directory(), 'vault.db');
    const store = await openSqliteStore({ dbFile });
    const marker = Buffer.from('SEALED-marker-to-vanish');
    await store.apply(
      [
        { put: 'data_key', row: dataKeyRow('d1') },
        { put: 'credential', row: credentialRow('c1') },
        { put: 'sealed', row: sealedRow('c1', { sealed: marker }) },
      ],
      0,
    );
    await store.apply([{ remove: 'credential', id: 'c1' }], 1);
    await store.close();
    expect(readFileSync(dbFile).includes(marker)).toBe(false);
  });
});

it('a second store on the same file is refused, here and through another path, until the first is closed', async () => {
  const dbFile = await vaultFile();
  const first = await openSqliteStore({ dbFile });
  await expect(openSqliteStore({ dbFile })).rejects.toThrow(unavailable(/in use by another alterd/));
  await expect(openSqliteStore({ dbFile: join(dirname(dbFile), '.', basename(dbFile)) })).rejects.toThrow(unavailable(/in use/));
  expect(await first.apply([{ put: 'meta', name: 'still', value: 'works' }], 1)).toBe(2);
  await first.close();
  await (await openSqliteStore({ dbFile })).close();
});

describe('migrations', () => {
  const next = MIGRATIONS.length + 1;
  const second: Migration = {
    version: next,
    name: 'second',
    sql: `create table extra (id text primary key) strict; insert into extra values ('x')`,
  };
  const broken: Migration = {
    version: next,
    name: 'broken',
    sql: 'create table extra (id text primary key) strict; insert into nothing values (1)',
  };

  it('bring an older database forward and keep its rows; the older program then refuses it', async () => {
    const dbFile = await vaultFile();
    const store = await openSqliteStore({ dbFile, migrations: [...MIGRATIONS, second] });
    expect((await store.load()).agents.map((agent) => agent.id)).toEqual(['a1']);
    await store.close();
    await refusedUntouched(dbFile, new RegExp(`schema version ${next}`));
  });

  it('that fail leave the database at the version before', async () => {
    const dbFile = await vaultFile();
    await expect(openSqliteStore({ dbFile, migrations: [...MIGRATIONS, broken] })).rejects.toThrow(unavailable(/failed/));
    const store = await openSqliteStore({ dbFile });
    expect((await store.load()).agents).toHaveLength(1);
    await store.close();
  });

  it('are numbered without gaps', () => {
    expect(MIGRATIONS.map((step) => step.version)).toEqual(MIGRATIONS.map((_step, i) => i + 1));
  });
});

describe('a writer that is killed', () => {
  const WRITER = join(import.meta.dirname, 'crash-writer.ts');

  /** Runs the writer, kills it after `count` acknowledged writes and answers the last epoch that it was promised. */
  function crashAfter(dbFile: string, count: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, ['--import', 'tsx', WRITER, dbFile], { stdio: ['ignore', 'pipe', 'inherit'] });
      let promised = 0;
      let seen = 0;
      let pending = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (pending + chunk).split('\n');
        pending = lines.pop() ?? '';
        for (const line of lines) promised = Number(line);
        seen += lines.length;
        if (seen >= count) child.kill('SIGKILL');
      });
      child.once('error', reject);
      child.once('close', (_code, signal) =>
        signal === 'SIGKILL' ? resolve(promised) : reject(new Error('the writer ended by itself')),
      );
    });
  }

  it('loses no acknowledged write, leaves whole transactions and no lock', async () => {
    const dbFile = join(directory(), 'vault.db');
    for (const count of [1, 7, 40]) {
      const promised = await crashAfter(dbFile, count);
      const store = await openSqliteStore({ dbFile });
      const { epoch, agents, keys } = await store.load();
      expect(epoch).toBeGreaterThanOrEqual(promised);
      expect(epoch).toBeLessThanOrEqual(promised + 40);
      // Each transaction of the writer adds one agent and two keys.
      expect([agents.length, keys.length]).toEqual([epoch, epoch * 2]);
      await store.close();
    }
  });

  it('leaves a copy of its files that opens too', async () => {
    const dbFile = join(directory(), 'vault.db');
    await crashAfter(dbFile, 5);
    const copy = join(directory(), 'vault.db');
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(dbFile + suffix)) copyFileSync(dbFile + suffix, copy + suffix);
    }
    // What a torn last write looks like.
    if (existsSync(`${copy}-wal`)) appendFileSync(`${copy}-wal`, Buffer.alloc(1000, 7));
    const store = await openSqliteStore({ dbFile: copy });
    expect((await store.load()).epoch).toBeGreaterThanOrEqual(5);
    await store.close();
  });
});
