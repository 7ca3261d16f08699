/** Readers for [vault], which makes a daemon borrow from a central vault, and [vault_server], by which one is served to hosts. */
import { parseDatabaseUrl } from '../domain/database-url.ts';
import { type HostPort, listOf, type Reader, type Reading, readHost, readHostPort } from './reader.ts';

/** A name or address under which hosts reach the vault, with its port where it is another than that of the listener. */
export interface PublicName {
  readonly host: string;
  readonly family: 0 | 4 | 6;
  readonly port: number | null;
}

/** An address with a port; port 0 lets the kernel choose. */
export const serverListen: Reader<HostPort> = {
  read: (raw) => {
    const reading = typeof raw === 'string' ? readHostPort(raw, 0) : { problem: '' };
    return 'problem' in reading || reading.value.family === 0
      ? { problem: 'must be an address with a port such as "0.0.0.0:4790"' }
      : reading;
  },
  fromText: (text) => text,
};

export const publicNames: Reader<readonly PublicName[]> = listOf((text): Reading<PublicName> => {
  const withPort = readHostPort(text);
  if ('value' in withPort) return { value: withPort.value };
  const bare = readHost(text);
  return 'problem' in bare
    ? { problem: 'must be a name or an address, with or without a port' }
    : { value: { ...bare.value, port: null } };
});

/** Origin of a vault; "" for none. */
export const vaultUrl: Reader<string | null> = {
  read: (raw) => {
    if (raw === '') return { value: null };
    const problem = 'must be an origin such as "https://vault.example.test:4790", without a path, or "" for none';
    try {
      const url = new URL(raw as string);
      // SECURITY: over http anyone on the way would see which grants there are, and could answer in the vault's place.
      if (url.protocol !== 'https:' || url.origin !== String(raw).replace(/\/$/, '')) return { problem };
      return { value: url.origin };
    } catch {
      return { problem };
    }
  },
  fromText: (text) => text,
};

/** An id as the vault gave it; "" for none. */
export const optionalId: Reader<string | null> = {
  read: (raw) => {
    if (raw === '') return { value: null };
    return typeof raw === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(raw)
      ? { value: raw }
      : { problem: 'must be an id, or "" for none' };
  },
  fromText: (text) => text,
};

/** "" keeps the vault in the state directory. A password is never part of it: it would be seen in `alterd config show`. */
export const databaseUrl: Reader<string | null> = {
  read: (raw) => {
    if (raw === '') return { value: null };
    const problem =
      'must be "postgres://USER@HOST/DATABASE", or with several hosts "postgres://USER@A,B:5433/DATABASE", without a password (see vault_server.database_password_file), or "" for the file in the state directory';
    const parsed = typeof raw === 'string' ? parseDatabaseUrl(raw) : null;
    return parsed === null || parsed.url.password !== '' ? { problem } : { value: raw as string };
  },
  fromText: (text) => text,
};

interface VaultValues {
  readonly url: string | null;
  readonly hasCa: boolean;
  readonly hasHostId: boolean;
  readonly hasVaultId: boolean;
  readonly hasCert: boolean;
  readonly hasKey: boolean;
}

type VaultPath =
  | 'vault.ca_file'
  | 'vault.host_id'
  | 'vault.vault_id'
  | 'vault_server.tls_cert_file'
  | 'vault_server.tls_key_file';

/** Problems that no single key shows. */
export function vaultProblems(values: VaultValues): { readonly path: VaultPath; readonly problem: string }[] {
  const found: { path: VaultPath; problem: string }[] = [];
  const needed = [
    ['vault.ca_file', values.hasCa],
    ['vault.host_id', values.hasHostId],
    ['vault.vault_id', values.hasVaultId],
  ] as const;
  for (const [path, isSet] of needed)
    if ((values.url !== null) !== isSet)
      found.push({
        path,
        problem: isSet ? 'has no meaning without vault.url' : 'must be set with vault.url: `alterd enroll` writes them all',
      });
  if (values.hasCert !== values.hasKey)
    found.push({
      path: values.hasCert ? 'vault_server.tls_cert_file' : 'vault_server.tls_key_file',
      problem: `needs ${values.hasCert ? 'vault_server.tls_key_file' : 'vault_server.tls_cert_file'} as well`,
    });
  return found;
}
