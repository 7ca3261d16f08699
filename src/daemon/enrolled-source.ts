/** The vault of a daemon whose host is enrolled: a central one, over the network, with the journal and the master key of this host. */
import { hkdfSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { HostOpener } from '../crypto/hpke.ts';
import { loadKeyRing } from '../crypto/next-key.ts';
import { keyFromBytes } from '../crypto/seal.ts';
import { AlterError } from '../domain/errors.ts';
import { masterKeyPlace } from '../installation.ts';
import { VERSION } from '../runtime/version.ts';
import { HOST_CAPABILITIES } from '../vault/host-capabilities.ts';
import { announceHost } from '../vault-client/enrollment.ts';
import { HostCalls } from '../vault-client/host-calls.ts';
import { type HostKeys, hostKeyFiles, readHostKeys } from '../vault-client/host-keys.ts';
import { LeaseCache } from '../vault-client/lease-cache.ts';
import { machineClock } from '../vault-client/lease-clock.ts';
import { RemoteVault } from '../vault-client/remote-vault.ts';
import { SignedClient } from '../vault-client/signed-client.ts';
import { JournalRoom } from './journal-room.ts';
import type { OpenedSource, VaultSourceOptions } from './vault-source.ts';

/** @throws AlterError vault_unavailable, audit_unavailable; nothing is left open then */
export async function openEnrolledSource(options: VaultSourceOptions): Promise<OpenedSource> {
  const { paths, loaded, log, meter, catalogue } = options;
  const { url, ca, hostId, vaultId } = settingsOf(loaded.config);
  const ring = await loadKeyRing({ ...masterKeyPlace(paths, loaded.config), create: false }, undefined);
  const keys = readHostKeys(hostKeyFiles(paths.stateDir).current, ring);
  if (keys === undefined) throw new AlterError('vault_unavailable', { reason: 'this host has no keys' }, { hint: ENROLL_HINT });
  const room = new JournalRoom({ paths, config: loaded.config, log, meter, writer: options.writer });
  const client = new SignedClient({ url, ca, identity: { hostId, signing: keys.signing } });
  let cache: LeaseCache | null = null;
  try {
    cache = LeaseCache.open({ dir: paths.stateDir, key: cacheKeyOf(keys) });
    room.begin(ring);
    const calls = new HostCalls({ client, opener: new HostOpener(keys.sealing), vaultId, hostId });
    const vault = new RemoteVault({
      ...{ url, calls, cache, catalogue, log, audit: room.audit, policiesDir: paths.policiesDir, clock: machineClock() },
      onClosed: () => client.close(),
    });
    // SECURITY: before anything is borrowed: the vault must not lend by what a newer daemon on this host could enforce.
    await announceHost(client, keys, { capabilities: HOST_CAPABILITIES, version: VERSION }).catch((error: unknown) =>
      log.warn({ reason: (error as Error).message }, 'the vault could not be told what this daemon is able to enforce'),
    );
    await vault.start();
    const journal = await room.opened();
    return {
      vault,
      journal,
      ring,
      link: () => vault.status,
      shared: vault.quotas,
      auditTo: { url, ca, hostId, signing: keys.signing, chain: journal.mark },
    };
  } catch (thrown) {
    client.close();
    cache?.close();
    await room.abandon();
    throw thrown;
  }
}

/** SECURITY: made of what only this host has, so that the file opens nowhere else. */
const cacheKeyOf = ({ sealing, publicSigning }: HostKeys): KeyObject =>
  keyFromBytes(Buffer.from(hkdfSync('sha256', sealing.privateKey, publicSigning, 'alterd lease cache 1', 32)));

function settingsOf({ vault }: Config): { url: string; ca: string; hostId: string; vaultId: string } {
  const { url, caFile, hostId, vaultId } = vault;
  if (url === null || caFile === null || hostId === null || vaultId === null)
    throw new AlterError('invalid_input', { problems: ['[vault] is not complete'] }, { hint: ENROLL_HINT });
  try {
    return { url, ca: readFileSync(caFile, 'utf8'), hostId, vaultId };
  } catch (cause) {
    const problems = [`vault.ca_file: ${caFile} can't be read (${(cause as NodeJS.ErrnoException).code})`];
    throw new AlterError('invalid_input', { problems }, { cause, hint: ENROLL_HINT });
  }
}

const ENROLL_HINT = 'Enroll this host: `alterd enroll URL --fingerprint SHA256`, as `alterd vault host invite` prints it.';
