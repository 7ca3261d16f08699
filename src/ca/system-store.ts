/**
 * The operating system's trust store. Called only when an operator asks for it by name (`alterd ca trust --system`): once the
 * CA is in there, every program of the machine believes it. Nothing else in alterd may write outside its own directories.
 */
import { execFile } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AlterError } from '../domain/errors.ts';
import type { LocalCa } from './authority.ts';
import { readOwnFile, replaceFile } from './own-file.ts';

/** A directory for local roots and the command that takes them over. */
export interface SystemStore {
  readonly directory: string;
  readonly command: string;
  readonly args: readonly string[];
}

const SYSTEM_STORES: readonly SystemStore[] = [
  { directory: '/usr/local/share/ca-certificates', command: 'update-ca-certificates', args: [] },
  { directory: '/etc/pki/ca-trust/source/anchors', command: 'update-ca-trust', args: ['extract'] },
];

export interface SystemTrustResult {
  readonly file: string;
  /** False when the store was in the wanted state already. */
  readonly changed: boolean;
  /** The command that ran; null when nothing had to. */
  readonly command: string | null;
}

/** @throws AlterError not_found */
function storeOf(chosen: SystemStore | undefined): SystemStore {
  const store = chosen ?? SYSTEM_STORES.find((candidate) => existsSync(candidate.directory));
  if (store !== undefined) return store;
  throw new AlterError('not_found', { what: 'system trust store', name: SYSTEM_STORES.map((s) => s.directory).join(' or ') });
}

const fileOf = (store: SystemStore, keyId: Buffer): string =>
  join(store.directory, `alterd-${keyId.toString('hex').slice(0, 8)}.crt`);

function writing<T>(path: string, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw cause;
    throw new AlterError(
      'forbidden',
      { reason: `${path} can not be written (${code})` },
      { cause, hint: 'Run it as root, with sudo.' },
    );
  }
}

async function refresh(store: SystemStore, removed: boolean): Promise<string> {
  // --fresh, or a removed root stays linked.
  const args = removed && store.command === 'update-ca-certificates' ? [...store.args, '--fresh'] : store.args;
  const shown = [store.command, ...args].join(' ');
  try {
    await promisify(execFile)(store.command, [...args], { timeout: 120_000 });
    return shown;
  } catch (cause) {
    throw new AlterError(
      'conflict',
      { reason: `\`${shown}\` failed`, hint: `Run \`${shown}\` as root and look at what it says.` },
      { cause },
    );
  }
}

/**
 * Puts the CA into the system's trust store.
 * @throws AlterError not_found (no known store), forbidden (not root), conflict (the system's own command failed)
 */
export async function installSystemTrust(
  ca: Pick<LocalCa, 'certPem' | 'keyId'>,
  chosen?: SystemStore,
): Promise<SystemTrustResult> {
  const store = storeOf(chosen);
  const file = fileOf(store, ca.keyId);
  if (readOwnFile(file)?.toString() === ca.certPem) return { file, changed: false, command: null };
  writing(file, () => replaceFile(file, ca.certPem, 0o644));
  return { file, changed: true, command: await refresh(store, false) };
}

/**
 * Takes the CA out of the system's trust store again.
 * @throws AlterError not_found (no known store), forbidden (not root), conflict (the system's own command failed)
 */
export async function removeSystemTrust(ca: Pick<LocalCa, 'keyId'>, chosen?: SystemStore): Promise<SystemTrustResult> {
  const store = storeOf(chosen);
  const file = fileOf(store, ca.keyId);
  if (readOwnFile(file) === null) return { file, changed: false, command: null };
  writing(file, () => rmSync(file));
  return { file, changed: true, command: await refresh(store, true) };
}
