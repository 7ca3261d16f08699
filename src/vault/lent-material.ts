/**
 * Material on its way to a host: sealed to the host's key, and bound to the vault, the host, the grant, the version and the end of the
 * lease, so that it opens nowhere else and as nothing else. Both ends in one file, because they must say the same.
 */
import type { HostOpener, HostSealer, HpkeContext, Sealed } from '../crypto/hpke.ts';
import type { CredentialMaterial } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';

const INFO = 'alterd material v1';

/** Everything about it but itself. */
export interface LentFacts {
  readonly vaultId: string;
  readonly hostId: string;
  readonly grantId: string;
  readonly credentialId: string;
  readonly version: number;
  /** Raised when a fetched value is another one. 0 for what is stored. */
  readonly revision: number;
  /** Epoch milliseconds, by the vault's clock. */
  readonly expiresAt: number;
}

/** No id has a line break in it. */
const contextOf = (f: LentFacts): HpkeContext => ({
  info: INFO,
  aad: Buffer.from([f.vaultId, f.hostId, f.grantId, f.credentialId, f.version, f.revision, f.expiresAt].join('\n')),
});

export async function sealMaterial(sealer: HostSealer, facts: LentFacts, material: CredentialMaterial): Promise<Sealed> {
  const fields = [...material.fields].map(([name, secret]) => [name, secret.reveal()]);
  const plaintext = Buffer.from(JSON.stringify({ fields, public_fields: [...(material.publicFields ?? [])] }), 'utf8');
  try {
    return await sealer.seal(plaintext, contextOf(facts));
  } finally {
    plaintext.fill(0);
  }
}

/** @throws AlterError vault_unavailable */
export async function openMaterial(opener: HostOpener, facts: LentFacts, sealed: Sealed): Promise<CredentialMaterial> {
  const plaintext = await opener.open(sealed, contextOf(facts));
  try {
    const opened = JSON.parse(plaintext.toString('utf8')) as { fields: [string, string][]; public_fields: string[] };
    return {
      credentialId: facts.credentialId,
      version: facts.version,
      ...(facts.revision === 0 ? {} : { revision: facts.revision }),
      fields: new Map(opened.fields.map(([name, value]) => [name, new Secret(value)])),
      publicFields: new Set(opened.public_fields),
    };
  } catch (cause) {
    throw new AlterError('vault_unavailable', { reason: 'what it sealed is no material' }, { cause });
  } finally {
    plaintext.fill(0);
  }
}
