/**
 * How a machine becomes a host of a vault, and changes its keys later. Both can be begun again after whatever happened in between: keys
 * are on disk before they are told to anybody, and the vault answers the same to the same.
 */

import { AlterError } from '../domain/errors.ts';
import type { EnrollAnswer, EnrollRequest, KeysAnswer, KeysRequest } from '../domain/fleet-wire.ts';
import type { Secret } from '../domain/secret.ts';
import { dropKeys, type HostKeys, hostKeyFiles, openHostKeys, promoteKeys, readHostKeys, type Sealer } from './host-keys.ts';
import { SignedClient } from './signed-client.ts';

export interface About {
  readonly capabilities: readonly string[];
  readonly version: string;
}

export interface EnrollmentOptions extends About {
  readonly url: string;
  /** PEM of the authority that was pinned. */
  readonly ca: string;
  readonly token: Secret;
  readonly stateDir: string;
  readonly sealer: Sealer;
}

/** Makes the keys where there are none, and presents the token. @throws AlterError enrolment_refused, vault_unavailable, vault_untrusted */
export async function enrollHost({ url, ca, token, stateDir, sealer, ...about }: EnrollmentOptions): Promise<EnrollAnswer> {
  const keys = openHostKeys(hostKeyFiles(stateDir).current, sealer);
  const client = new SignedClient({ url, ca, identity: null });
  try {
    const request: EnrollRequest = { token: token.reveal(), ...told(keys, about) };
    return (await client.call<EnrollAnswer>('POST', '/v1/enroll', request)).body;
  } finally {
    client.close();
  }
}

export interface RekeyOptions extends About {
  readonly url: string;
  readonly ca: string;
  readonly hostId: string;
  readonly stateDir: string;
  readonly sealer: Sealer;
}

/** New keys in the place of those in force. @throws AlterError host_unauthenticated, host_inactive, vault_unavailable, vault_untrusted */
export async function rekeyHost({ url, ca, hostId, stateDir, sealer, ...about }: RekeyOptions): Promise<KeysAnswer> {
  const files = hostKeyFiles(stateDir);
  const current = readHostKeys(files.current, sealer);
  if (current === undefined)
    throw new AlterError('conflict', { reason: 'This host has no keys', hint: 'Enroll it: `alterd enroll URL`.' });
  const next = openHostKeys(files.next, sealer);
  const call = async (signer: HostKeys): Promise<KeysAnswer> => {
    const client = new SignedClient({ url, ca, identity: { hostId, signing: signer.signing } });
    try {
      const request: KeysRequest = told(next, about);
      return (await client.call<KeysAnswer>('POST', '/v1/host/keys', request)).body;
    } finally {
      client.close();
    }
  };
  let answer: KeysAnswer;
  try {
    answer = await call(current);
  } catch (error) {
    // The vault may have taken them in an attempt before, whose answer never came.
    if (!(error instanceof AlterError) || error.code !== 'host_unauthenticated') throw error;
    answer = await call(next);
  }
  promoteKeys(files);
  return answer;
}

/**
 * Says what this daemon is able to enforce, with the keys that it has: an update or a downgrade changes what the vault may lend it.
 * @throws AlterError host_unauthenticated, host_inactive, vault_unavailable, vault_untrusted
 */
export async function announceHost(client: SignedClient, keys: HostKeys, about: About): Promise<void> {
  await client.call<KeysAnswer>('POST', '/v1/host/keys', told(keys, about));
}

/** Forgets keys that wait, for a host that enrolls anew. */
export const forgetNextKeys = (stateDir: string): void => dropKeys(hostKeyFiles(stateDir).next);

const told = (keys: HostKeys, { capabilities, version }: About): KeysRequest => ({
  ...{ signing_key: keys.publicSigning, sealing_key: keys.publicSealing },
  ...{ capabilities, version },
});
