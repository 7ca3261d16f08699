/**
 * Backups of an installation while it works: copies of the vault's database, the journal and what the master key seals, in one new
 * directory, and a list of them that the master key vouches for. Part of the composition root.
 * SECURITY: the master key itself is never among them: a backup that is stolen opens nothing.
 */
import { createHash, createHmac, randomUUID } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { authorityFiles } from '../ca/authority.ts';
import type { Paths } from '../config/paths.ts';
import type { KeyRing } from '../crypto/key-ring.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { syncDirectory } from '../crypto/private-file.ts';
import { AlterError } from '../domain/errors.ts';
import type { Journal } from '../journal/journal.ts';
import { ENDED, event } from '../observation.ts';
import { VERSION } from '../runtime/version.ts';
import type { Vault } from '../vault/vault.ts';

export const MANIFEST = 'manifest.json';

export interface BackupFile {
  /** Below the directory of the backup, with slashes. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface BackupManifest {
  readonly alterd_backup: 1;
  readonly id: string;
  readonly made_at: string;
  readonly version: string;
  readonly key_source: MasterKey['source'];
  /** Tells master keys apart, and says nothing of either. */
  readonly key_check: string;
  /** Of the vault's last change in it. */
  readonly epoch: number;
  /** postgresql: the database is backed up by its own means. */
  readonly database: 'sqlite' | 'postgresql';
  readonly files: readonly BackupFile[];
}

/** What vouches for a manifest. */
export const manifestMac = (key: MasterKey, text: string): string =>
  createHmac('sha256', key.derive('backup manifest')).update(text).digest('hex');

export interface BackupParts {
  readonly paths: Paths;
  readonly vault: Pick<Vault, 'copyTo' | 'epoch'>;
  readonly journal: Journal;
  readonly ring: KeyRing;
}

export interface Backup {
  readonly manifest: BackupManifest;
  readonly directory: string;
}

/**
 * Makes a backup in a directory that is not there yet; it appears whole or not at all.
 * @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable
 */
export async function writeBackup(parts: BackupParts, directory: string): Promise<Backup> {
  const { paths, vault, journal, ring } = parts;
  const id = randomUUID();
  const draft = `${directory}.${id.slice(0, 8)}.new`;
  requireNew(directory);
  await journal.record(event('vault.backed_up', { backup_id: id }), ENDED);
  try {
    makeDirectory(draft);
    mkdirSync(join(draft, 'audit'), { mode: 0o700 });
    // The journal first: a vault that is a change ahead of it is no older copy.
    await journal.backUp(join(draft, 'audit'));
    const hasFile = await vault.copyTo(join(draft, 'vault.db'));
    for (const [from, to] of smallFiles(paths)) copyPrivate(from, join(draft, to));
    const key = ring.inForce;
    const manifest: BackupManifest = {
      ...{ alterd_backup: 1, id, made_at: new Date().toISOString(), version: VERSION },
      ...{ key_source: key.source, key_check: key.checkValue, epoch: vault.epoch, database: hasFile ? 'sqlite' : 'postgresql' },
      files: await listFiles(draft),
    };
    const text = JSON.stringify(manifest);
    writeFileSync(join(draft, MANIFEST), `${text}\n${manifestMac(key, text)}\n`, { mode: 0o600, flush: true });
    requireNew(directory);
    renameSync(draft, directory);
    syncDirectory(dirname(directory));
    return { manifest, directory };
  } catch (thrown) {
    rmSync(draft, { recursive: true, force: true });
    throw thrown;
  }
}

function requireNew(directory: string): void {
  if (!isAbsolute(directory)) throw new AlterError('invalid_input', { problems: ['the directory must be an absolute path'] });
  if (existsSync(directory))
    throw new AlterError('conflict', {
      reason: `${directory} is there already`,
      hint: 'Name another directory; nothing is overwritten.',
    });
}

function makeDirectory(draft: string): void {
  try {
    mkdirSync(dirname(draft), { recursive: true, mode: 0o700 });
    mkdirSync(draft, { mode: 0o700 });
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
    throw new AlterError(
      'invalid_input',
      { problems: [`${dirname(draft)} can't be written by the daemon (${code})`] },
      { cause, hint: 'Name a directory that its user may write; under systemd that is one in its state directory.' },
    );
  }
}

/** What is there of the files that go along as they are: sealed, or no secret. */
function smallFiles(paths: Paths): (readonly [from: string, to: string])[] {
  const { key, certificate, previous } = authorityFiles(paths.caDir);
  const own = (dir: string, to: string): (readonly [string, string])[] =>
    existsSync(dir)
      ? readdirSync(dir).flatMap((name) => (/^[^.].*\.toml$/.test(name) ? [[join(dir, name), `${to}/${name}`] as const] : []))
      : [];
  const named: (readonly [string, string])[] = [
    [join(paths.stateDir, 'audit.key'), 'audit.key'],
    [key, 'ca/ca.key'],
    [certificate, 'ca/ca.crt'],
    [previous, 'ca/ca-previous.crt'],
    [paths.configFile, 'config/alterd.toml'],
  ];
  return [
    ...named.filter(([from]) => existsSync(from)),
    ...own(paths.providersDir, 'config/providers'),
    ...own(paths.policiesDir, 'config/policies'),
  ];
}

function copyPrivate(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  copyFileSync(from, to);
}

async function listFiles(directory: string, below = ''): Promise<BackupFile[]> {
  const entries = readdirSync(join(directory, below), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const files: BackupFile[] = [];
  for (const entry of entries) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await listFiles(directory, path)));
    else files.push({ path, ...(await digestOf(join(directory, path))) });
  }
  return files;
}

/** Size and hash of a file, which may be large. */
export async function digestOf(file: string): Promise<Pick<BackupFile, 'bytes' | 'sha256'>> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { bytes: statSync(file).size, sha256: hash.digest('hex') };
}
