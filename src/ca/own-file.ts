/**
 * Files of the CA's own directory: written whole or not at all, never through a link that somebody planted, and read only
 * when they are what they should be. It must never follow a symbolic link at the last step of a path.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { AlterError } from '../domain/errors.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;

const codeOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException).code;

function refuse(path: string, why: string, cause?: unknown): never {
  throw new AlterError('forbidden', { reason: `${path} ${why}` }, { cause, hint: `Remove or correct ${path}, then try again.` });
}

/**
 * Makes `dir` when it is missing and checks that nobody else may plant files in it.
 * @throws AlterError forbidden
 */
export function ensureOwnDirectory(dir: string, mode = 0o755): void {
  mkdirSync(dir, { recursive: true, mode });
  const stat = lstatSync(dir);
  if (!stat.isDirectory()) refuse(dir, 'is not a directory of its own');
  // SECURITY: in a directory that others own or may write to, any file can be swapped between two looks at it.
  if (stat.uid !== process.geteuid?.() && stat.uid !== 0) refuse(dir, 'belongs to another user');
  if ((stat.mode & 0o022) !== 0) refuse(dir, 'can be written by other users');
}

function writeTemporary(path: string, data: Buffer | string, mode: number): string {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(temporary, flags, mode);
  try {
    fchmodSync(fd, mode); // the umask must not decide who can read it
    writeFileSync(fd, data);
    fsyncSync(fd);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  return temporary;
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function refuseUnlessRegular(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && !stat.isFile()) refuse(path, stat.isSymbolicLink() ? 'is a symbolic link' : 'is not a regular file');
}

/**
 * Writes a file that must not exist yet; when two writers race, one of them loses and nothing is overwritten.
 * @throws AlterError conflict, forbidden
 */
export function createFile(path: string, data: Buffer | string, mode: number): void {
  refuseUnlessRegular(path);
  const temporary = writeTemporary(path, data, mode);
  try {
    // A hard link, unlike a rename, fails when the name is taken.
    linkSync(temporary, path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw new AlterError('conflict', { reason: `${path} exists already` }, { cause: error });
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  syncDirectory(dirname(path));
}

/**
 * Replaces a file in one step: readers see the old content or the new, never a part.
 * @throws AlterError forbidden
 */
export function replaceFile(path: string, data: Buffer | string, mode: number): void {
  // SECURITY: a link planted where we write is an attack or a mistake; say so rather than quietly replace it.
  refuseUnlessRegular(path);
  const temporary = writeTemporary(path, data, mode);
  try {
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/**
 * Content of a regular file, or null when there is none. With `secret` it must be ours and closed to everyone else.
 * @throws AlterError forbidden
 */
export function readOwnFile(path: string, options: { readonly secret?: boolean } = {}): Buffer | null {
  let fd: number;
  try {
    // O_NONBLOCK: opening a planted FIFO must not hang the start.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    if (codeOf(error) === 'ELOOP') refuse(path, 'is a symbolic link', error);
    if (codeOf(error) === 'EACCES') refuse(path, 'can not be read by this user', error);
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES) refuse(path, 'is not a regular file of sensible size');
    if (options.secret && (stat.mode & 0o077) !== 0) refuse(path, 'can be read by other users (chmod 600)');
    if (options.secret && stat.uid !== process.geteuid?.()) refuse(path, 'belongs to another user');
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
