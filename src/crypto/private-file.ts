/**
 * Private files and their directories: created 0600 with O_EXCL and O_NOFOLLOW, and checked on the open descriptor before
 * anything in them is believed. Keys and databases go through here; it must never follow a symlink or mend a mode silently.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AlterError } from '../domain/errors.ts';

/** Largest private file that is read whole; a key is far smaller. */
const MAX_READ_BYTES = 64 * 1024;

const refuse = (reason: string, hint: string, cause?: unknown): AlterError =>
  new AlterError('vault_unavailable', { reason }, cause === undefined ? { hint } : { hint, cause });

export const isMissing = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');

/** Who may own the file, and which permission bits may not be set. */
export interface PrivacyRule {
  readonly forbiddenMode: number;
  readonly owners: readonly number[];
}

export const ownerOnly = (): PrivacyRule => ({ forbiddenMode: 0o177, owners: [process.geteuid?.() ?? 0] });

/**
 * Checks what an open descriptor or an lstat says of a private file.
 * @throws AlterError vault_unavailable
 */
export function requirePrivate(stats: Stats, path: string, rule: PrivacyRule = ownerOnly()): void {
  if (!stats.isFile()) throw refuse(`${path} is not a regular file`, `Look at it: \`ls -ld ${path}\`; then move it away.`);
  if (!rule.owners.includes(stats.uid)) {
    throw refuse(
      `${path} belongs to uid ${stats.uid}, not to the user that runs alterd`,
      `Correct it: \`chown ${rule.owners[0]} ${path}\`.`,
    );
  }
  // SECURITY: a key or database that others can read or write is treated as lost; mending the mode would hide that.
  if ((stats.mode & rule.forbiddenMode) !== 0) {
    throw refuse(`${path} has mode ${octal(stats.mode)}; it must be 0600`, `If nobody else has read it: \`chmod 600 ${path}\`.`);
  }
}

/**
 * Reads a private file whole, checked on the descriptor that is read; undefined when there is none.
 * @throws AlterError vault_unavailable
 */
export function readPrivateFile(path: string, rule: PrivacyRule = ownerOnly()): Buffer | undefined {
  let descriptor: number;
  try {
    // SECURITY: O_NOFOLLOW, or a planted symlink would make alterd use a file of somebody else's choice; O_NONBLOCK, or a FIFO would hang the start.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    if ((cause as NodeJS.ErrnoException).code === 'ELOOP') {
      throw refuse(`${path} is a symbolic link`, 'Put the file itself there, not a link.', cause);
    }
    throw refuse(
      `${path} can't be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`,
      `Look at it: \`ls -l ${path}\`.`,
      cause,
    );
  }
  try {
    const stats = fstatSync(descriptor);
    requirePrivate(stats, path, rule);
    if (stats.size > MAX_READ_BYTES) throw refuse(`${path} is too large to be a key`, `Look at it: \`ls -l ${path}\`.`);
    const bytes = Buffer.alloc(stats.size);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Creates a private file that did not exist, durable when this returns; false when somebody else created it first.
 * The content appears at once: a crash leaves either no file or the whole one.
 * @throws AlterError vault_unavailable
 */
export function createPrivateFile(path: string, content: Uint8Array): boolean {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`;
  try {
    const descriptor = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      for (let written = 0; written < content.length; ) written += writeSync(descriptor, content, written);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    try {
      // link, not rename: rename would replace a file that appeared meanwhile.
      linkSync(draft, path);
    } finally {
      unlinkSync(draft);
    }
    syncDirectory(dirname(path));
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw refuse(
      `${path} can't be created (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`,
      `Look at the directory: \`ls -ld ${dirname(path)}\`.`,
      cause,
    );
  }
}

/** Makes the entries of a directory durable. */
export function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Creates a directory 0700 when it is missing, and refuses one that somebody else could write to, at any level above it.
 * Answers its real path.
 * @throws AlterError vault_unavailable
 */
export function ensurePrivateDirectory(path: string): string {
  const directory = resolve(path);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const own = lstatSync(directory);
    if (own.isSymbolicLink()) throw refuse(`${directory} is a symbolic link`, 'Name the directory itself in the configuration.');
    if (own.uid !== process.geteuid?.()) {
      throw refuse(
        `${directory} belongs to uid ${own.uid}, not to the user that runs alterd`,
        `Correct it: \`chown ${process.geteuid?.()} ${directory}\`.`,
      );
    }
    const real = realpathSync(directory);
    requireUnsharedChain(real);
    return real;
  } catch (cause) {
    if (cause instanceof AlterError) throw cause;
    throw refuse(
      `${directory} can't be used (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`,
      `Look at it: \`ls -ld ${directory}\`.`,
      cause,
    );
  }
}

// SECURITY: whoever can write to a directory on the way can swap what lies below it; a sticky directory (/tmp) protects its entries.
function requireUnsharedChain(real: string): void {
  for (let current = real; ; current = dirname(current)) {
    const { mode } = lstatSync(current);
    if ((mode & 0o022) !== 0 && ((mode & 0o1000) === 0 || current === real)) {
      throw refuse(`${current} can be written by other users (mode ${octal(mode)})`, `Correct it: \`chmod go-w ${current}\`.`);
    }
    if (current === dirname(current)) return;
  }
}

/** True when `path` lies in `directory` or below it, with every existing symlink on the way resolved. */
export function isWithin(directory: string, path: string): boolean {
  const outer = resolveExisting(directory);
  const inner = resolveExisting(path);
  return inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

function resolveExisting(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(resolveExisting(parent), absolute.slice(parent.length).replace(/^\//, ''));
  }
}
