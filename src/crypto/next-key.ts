/**
 * Where the next master key waits while one is replaced, beside the one in force and in the same kind of place: a second file, a second
 * entry of the keyring, a second credential of systemd. It is durable before anything is sealed by it, and takes the place of the one in
 * force only when the caller says that nothing hangs on that any more. Key bytes never leave this room.
 */
import { AlterError } from '../domain/errors.ts';
import { readNextCredential } from './credential-source.ts';
import { dropNextKeyFile, nextKeyFile, promoteKeyFile, readNextKeyFile, readOrCreateKeyFile } from './key-file-source.ts';
import { KeyRing } from './key-ring.ts';
import {
  dropNextKeyringKey,
  type KeyringOptions,
  nextKeyring,
  promoteKeyringKey,
  readNextKeyringKey,
  readOrCreateKeyringKey,
} from './keyring-source.ts';
import { type KeySource, loadMasterKey, MasterKey, type MasterKeyOptions } from './master-key.ts';

export interface NextKeyPlace {
  /** For people. */
  readonly name: string;
  /** How an operator brings a key here that is in force at another replica. */
  readonly howToBring: string;
  /** How an operator gives the key that waits here to the other replicas. */
  readonly howToGive: string;
  /** What an operator has to do once the key in force waits here; null where alterd does it. */
  readonly howToPromote: string | null;
  /** The key that waits. @throws AlterError vault_unavailable */
  read(): Promise<MasterKey | undefined>;
  /** Makes a key where none waits. @throws AlterError vault_unavailable, conflict where only the operator can */
  make(): Promise<MasterKey>;
  /** The key that waits takes the place of the one of before, which is gone then. Only where alterd does it. */
  promote(): Promise<void>;
  /** Forgets the key that waits. Only where alterd keeps it. */
  drop(): Promise<void>;
}

export type NextKeyOptions = Pick<MasterKeyOptions, 'keyFile' | 'keyring' | 'environment'>;

export function nextKeyPlace(source: KeySource, options: NextKeyOptions): NextKeyPlace {
  if (source === 'systemd') return credentialPlace(options.environment ?? process.env);
  return source === 'keyring' ? keyringPlace(options.keyring) : filePlace(options.keyFile);
}

const keyOf = (source: KeySource, bytes: Buffer | undefined): MasterKey | undefined => bytes && new MasterKey(source, bytes);

function filePlace(keyFile: string): NextKeyPlace {
  const path = nextKeyFile(keyFile);
  return {
    name: `the key file ${path}`,
    howToBring: `Copy the key file of a replica that runs to ${path} (mode 0600), beside the one that is there; it is found without a restart.`,
    howToGive: `Copy ${path} to the same place at each other replica (mode 0600).`,
    howToPromote: null,
    read: async () => keyOf('file', readNextKeyFile(keyFile)),
    make: async () => new MasterKey('file', readOrCreateKeyFile(path, true)),
    promote: async () => promoteKeyFile(keyFile),
    drop: async () => dropNextKeyFile(keyFile),
  };
}

function keyringPlace(options: KeyringOptions = {}): NextKeyPlace {
  const { service = 'alterd', account } = nextKeyring(options);
  const entry = `service ${service} account ${account}`;
  return {
    name: `the entry "${account}" of the OS keyring`,
    howToBring: `Store the key that is in force: \`secret-tool store --label='next alterd master key' ${entry}\`; it is found without a restart.`,
    howToGive: `Store the same value in the keyring of each other replica (${entry}).`,
    howToPromote: null,
    read: async () => keyOf('keyring', await readNextKeyringKey(options)),
    make: async () => new MasterKey('keyring', await readOrCreateKeyringKey(true, nextKeyring(options))),
    promote: () => promoteKeyringKey(options),
    drop: () => dropNextKeyringKey(options),
  };
}

const NEXT_FILE = '/etc/credstore.encrypted/alterd-masterkey-next';
const LINE = `LoadCredentialEncrypted=masterkey-next:${NEXT_FILE}`;

function credentialPlace(environment: NodeJS.ProcessEnv): NextKeyPlace {
  const only = (): never => {
    throw new AlterError('conflict', {
      reason: 'The master key is a credential of systemd, which alterd can not write',
      hint:
        `Make the next one: \`head -c 32 /dev/urandom | systemd-creds encrypt --name=masterkey-next - ${NEXT_FILE}\`; ` +
        `add \`${LINE}\` to the unit, restart it, and run this command again.`,
    });
  };
  return {
    name: 'the systemd credential "masterkey-next"',
    howToBring: `Pass the key that is in force as a second credential (\`${LINE}\`) and restart the unit.`,
    howToGive: 'Pass the same credential to each other replica, and restart it.',
    howToPromote:
      `Until the unit passes it as "masterkey" both credentials are needed: \`systemd-creds decrypt --name=masterkey-next ${NEXT_FILE} - | ` +
      'systemd-creds encrypt --name=masterkey - /etc/credstore.encrypted/alterd-masterkey`, take the line `LoadCredentialEncrypted=masterkey-next:…` out, ' +
      'restart the unit, and remove the file of the next one.',
    read: async () => keyOf('systemd', readNextCredential(environment)),
    make: async () => only(),
    promote: async () => only(),
    drop: async () => only(),
  };
}

/**
 * The key in force with the others on hand: of the one in its place and the one that waits, the one that the database names.
 * Which of them that is decides nothing but the database: it changes in one transaction, so that a crash at any moment leaves the one or the other.
 * @param checkValue of the key that the database was last sealed with; absent on a fresh install, and where there is no database
 * @throws AlterError vault_unavailable
 */
export async function loadKeyRing(options: MasterKeyOptions, checkValue: string | undefined): Promise<KeyRing> {
  const present = await loadMasterKey(options);
  // A keyring costs a process for each look, and a key that fits there leaves nothing to look for.
  if (present.source === 'keyring' && (checkValue === undefined || checkValue === present.checkValue))
    return new KeyRing(present);
  const next = await nextKeyPlace(present.source, options).read();
  if (next === undefined) return new KeyRing(present);
  return next.checkValue === checkValue ? new KeyRing(next, [present]) : new KeyRing(present, [next]);
}

/** A key with this check value, from its place or from where the next one waits. @throws AlterError vault_unavailable */
export async function findMasterKey(options: MasterKeyOptions, checkValue: string): Promise<MasterKey | undefined> {
  const { inForce, others } = await loadKeyRing(options, checkValue);
  return [inForce, ...others].find((key) => key.checkValue === checkValue);
}
