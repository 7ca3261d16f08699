/**
 * `alterd restore`: puts a backup in the place of what is there, while no daemon runs. Part of the composition root. Everything is checked
 * before anything is moved; what was there is kept aside, and comes back when the vault does not open.
 * SECURITY: this is how an older vault may come back (S-86): only one that the master key vouches for, byte by byte, and it is recorded.
 * The journal that is there stays: what was revoked since the backup has to be found somewhere.
 */
import { timingSafeEqual } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { LoadedConfig } from './config/load.ts';
import type { Paths } from './config/paths.ts';
import { findMasterKey } from './crypto/next-key.ts';
import { ensurePrivateDirectory } from './crypto/private-file.ts';
import { type BackupFile, type BackupManifest, digestOf, MANIFEST, manifestMac } from './daemon/backup.ts';
import { AlterError } from './domain/errors.ts';
import { masterKeyPlace } from './installation.ts';
import { withOfflineVault } from './offline-vault.ts';
import { glanceAtFile } from './store/sqlite/glance.ts';
import { lockWriter } from './store/sqlite/writer-lock.ts';
import { recordedKeyOf } from './vault/vault-keys.ts';

export interface RestoreOptions {
  readonly paths: Paths;
  /** Absolute. */
  readonly from: string;
  /** The configuration, as it is now: it may be restored as well. */
  readonly load: () => LoadedConfig;
  readonly warn: (message: string) => void;
}

export interface RestoreReport {
  readonly id: string;
  readonly made_at: string;
  readonly database: BackupManifest['database'];
  readonly journal: 'kept' | 'restored';
  /** Where the vault of before lies now; null when there was none. */
  readonly aside: string | null;
  readonly restored: readonly string[];
  /** Files that were left alone: they are there and different, or this user may not write them. */
  readonly left: readonly string[];
  /** Of the vault now. */
  readonly epoch: number;
}

const MANIFEST_MAX_BYTES = 1024 * 1024;
/** SECURITY: the only names that are ever written; a list could name others. */
const KNOWN =
  /^(?:vault\.db|audit\.key|audit\/audit\.(?:db|head)|ca\/ca(?:-previous)?\.(?:key|crt)|config\/alterd\.toml|config\/(?:providers|policies)\/[^./][^/]*\.toml)$/;

/** @throws AlterError invalid_input, conflict, vault_unavailable, audit_unavailable; then everything is as it was */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreReport> {
  const { paths, from, load, warn } = options;
  const { text, mac, manifest } = readManifest(from);
  await requireTrusted(paths, load(), { text, mac, manifest });
  await requireWhole(from, manifest);
  requireSameKey(paths, manifest);
  ensurePrivateDirectory(paths.stateDir);
  // Held while files are moved; the vault takes it again to open.
  const unlock = lockWriter(paths.vaultDb);
  const placing = new Placing(paths, from);
  try {
    try {
      await placing.place(manifest);
    } finally {
      unlock();
    }
    const { id, made_at: madeAt } = manifest;
    const epoch = await withOfflineVault(
      { paths, loaded: load(), warn, mayCreate: false, acceptRestore: true },
      async ({ vault }) => {
        await vault.acceptRestore({
          reason: 'a backup was restored',
          backup_id: id,
          backed_up_at: madeAt,
          vault_epoch: vault.epoch,
        });
        return vault.epoch;
      },
    );
    const { aside, restored, left, isJournalKept } = placing;
    return {
      ...{ id, made_at: madeAt, database: manifest.database, aside, restored, left, epoch },
      journal: isJournalKept ? 'kept' : 'restored',
    };
  } catch (thrown) {
    placing.undo();
    throw thrown;
  }
}

interface ReadManifest {
  readonly text: string;
  readonly mac: string;
  readonly manifest: BackupManifest;
}

function readManifest(from: string): ReadManifest {
  const file = join(from, MANIFEST);
  try {
    if (statSync(file).size > MANIFEST_MAX_BYTES) throw new Error('too large');
    const [text = '', mac = ''] = readFileSync(file, 'utf8').split('\n');
    const manifest = JSON.parse(text) as BackupManifest;
    if (manifest.alterd_backup === 1 && Array.isArray(manifest.files)) return { text, mac, manifest };
    const format = String((manifest as { alterd_backup?: unknown }).alterd_backup);
    if (/^[1-9]\d*$/.test(format))
      throw unusable(from, `it has format ${format}, this alterd reads 1`, 'Install the alterd that made it.');
  } catch (cause) {
    if (cause instanceof AlterError) throw cause;
  }
  throw unusable(from, `${MANIFEST} is missing, or not one of alterd`, 'Name a directory that `alterd backup` has made.');
}

async function requireTrusted(paths: Paths, { config }: LoadedConfig, { text, mac, manifest }: ReadManifest): Promise<void> {
  const options = { ...masterKeyPlace(paths, config), recordedSource: manifest.key_source, create: false };
  const key = await findMasterKey(options, manifest.key_check);
  if (key === undefined) throw unusable(from(manifest), 'the master key here is another one than that of the backup', KEY_HINT);
  const expected = Buffer.from(manifestMac(key, text));
  const given = Buffer.from(mac);
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw unusable(from(manifest), 'its list of files was changed by something other than alterd', 'Use another backup.');
}

const from = ({ made_at: madeAt }: BackupManifest): string => `the backup of ${madeAt}`;
const KEY_HINT =
  'Bring back the master key first, from where it was kept: it is in no backup. Its place is `master.key` beside the configuration, or the unit.';

async function requireWhole(directory: string, { files }: BackupManifest): Promise<void> {
  for (const file of files) {
    const { path } = file;
    if (!KNOWN.test(path))
      throw unusable(directory, `it names ${JSON.stringify(path)}, which is no file of an installation`, OTHER);
    if (!existsSync(join(directory, path))) throw unusable(directory, `${path} is missing`, OTHER);
    await requireSame(join(directory, path), directory, file);
  }
}

async function requireSame(file: string, directory: string, { path, bytes, sha256 }: BackupFile): Promise<void> {
  const found = await digestOf(file);
  if (found.bytes !== bytes || found.sha256 !== sha256) throw unusable(directory, `${path} is not as it was written`, OTHER);
}

/** What is sealed beside the vault would open no more: authority, journal. A vault that is gone or damaged says nothing. */
function requireSameKey({ vaultDb, stateDir }: Paths, manifest: BackupManifest): void {
  let check: string | undefined;
  try {
    check = recordedKeyOf(glanceAtFile(vaultDb))?.checkValue;
  } catch {
    return;
  }
  if (check === undefined || check === manifest.key_check) return;
  throw unusable(
    from(manifest),
    'the vault here has another master key by now, and so has all that is sealed beside it',
    `Move ${stateDir} away, and restore the backup into an empty directory.`,
  );
}

const OTHER = 'Copy it anew from where it was kept, or use another one.';

const unusable = (what: string, reason: string, hint: string): AlterError =>
  new AlterError(
    'invalid_input',
    { problems: [`${what} can't be restored: ${reason}`] },
    { hint: `${hint} Nothing was changed.` },
  );

/** Moves and copies, remembered so that all of it can be undone. */
class Placing {
  readonly restored: string[] = [];
  readonly left: string[] = [];
  aside: string | null = null;
  isJournalKept = false;
  readonly #paths: Paths;
  readonly #from: string;
  readonly #moved: (readonly [from: string, to: string])[] = [];
  readonly #made: string[] = [];

  constructor(paths: Paths, directory: string) {
    this.#paths = paths;
    this.#from = directory;
  }

  async place({ files }: BackupManifest): Promise<void> {
    const { stateDir, configDir, vaultDb, auditDir } = this.#paths;
    this.isJournalKept = existsSync(join(auditDir, 'audit.db'));
    if (files.some(({ path }) => path === 'vault.db')) for (const side of ['', '-wal', '-shm']) this.#moveAside(vaultDb + side);
    for (const file of files) {
      const { path } = file;
      if (path.startsWith('audit/') && this.isJournalKept) continue;
      const target = path.startsWith('config/') ? join(configDir, path.slice('config/'.length)) : join(stateDir, path);
      await this.#copy(file, target);
    }
  }

  undo(): void {
    for (const file of this.#made) for (const side of ['', '-wal', '-shm']) rmSync(file + side, { force: true });
    for (const [original, kept] of this.#moved) renameSync(kept, original);
    if (this.aside !== null) rmSync(this.aside, { recursive: true, force: true });
  }

  #moveAside(file: string): void {
    if (!existsSync(file)) return;
    this.aside ??= join(this.#paths.stateDir, `before-restore-${new Date().toISOString().replace(/[:.]/g, '-')}`);
    mkdirSync(this.aside, { recursive: true, mode: 0o700 });
    const kept = join(this.aside, file.slice(dirname(file).length + 1));
    renameSync(file, kept);
    this.#moved.push([file, kept]);
  }

  /** Never over a file: what is there is the operator's, or newer. */
  async #copy(file: BackupFile, target: string): Promise<void> {
    const { path } = file;
    const source = join(this.#from, path);
    if (existsSync(target)) {
      if (!readFileSync(source).equals(readFileSync(target))) this.left.push(target);
      return;
    }
    // The configuration may be another user's, who puts it back.
    if (path.startsWith('config/') && !isWritable(dirname(target))) return void this.left.push(target);
    mkdirSync(dirname(target), { recursive: true, mode: path.startsWith('ca/') ? 0o755 : 0o700 });
    const draft = `${target}.restore`;
    copyFileSync(source, draft);
    try {
      // SECURITY: of the copy, which is what will be used: whoever may write the backup could change it since it was looked at.
      await requireSame(draft, this.#from, file);
      chmodSync(draft, path.endsWith('.crt') ? 0o644 : 0o600);
      renameSync(draft, target);
    } catch (thrown) {
      rmSync(draft, { force: true });
      throw thrown;
    }
    this.#made.push(target);
    this.restored.push(path);
  }
}

/** True too for a directory that can be made. */
function isWritable(directory: string): boolean {
  if (!existsSync(directory)) return dirname(directory) !== directory && isWritable(dirname(directory));
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
