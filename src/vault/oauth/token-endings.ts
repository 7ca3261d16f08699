/**
 * The end of a connected account: when its last live grant ends, the tokens are destroyed with it, and the provider is told, as far as
 * it listens. The destruction is part of the change that ends the grant; telling the provider can fail and changes nothing.
 */
import type { Secret } from '../../domain/secret.ts';
import type { CredentialRow, StoreChange } from '../../store/rows.ts';
import { isLive } from '../authority.ts';
import type { DataKeys } from '../data-keys.ts';
import type { VaultState } from '../state.ts';
import { oauthOf } from './endpoints.ts';
import { TokenFailure } from './token-answer.ts';
import type { TokenClients } from './token-clients.ts';

export interface TokenEnding {
  /** To be made together with the end of the grants. */
  readonly changes: readonly StoreChange[];
  readonly beforePublishing: () => void;
  /** Tells the provider; to be called when the change is made. Waits for nothing. */
  readonly afterwards: () => void;
}

export interface TokenEndingsParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly clients: TokenClients;
  readonly dropMaterial: (credentialId: string) => void;
}

const NOTHING: TokenEnding = { changes: [], beforePublishing: () => {}, afterwards: () => {} };

export class TokenEndings {
  readonly #parts: TokenEndingsParts;
  readonly #underWay = new Set<Promise<void>>();

  constructor(parts: TokenEndingsParts) {
    this.#parts = parts;
  }

  /** What else ends when these grants do. Call it inside exclusive(). */
  async prepare(grantIds: readonly string[]): Promise<TokenEnding> {
    const { state } = this.#parts;
    const ending = state.rows.grants.filter((grant) => grantIds.includes(grant.id));
    const ids = new Set(ending.map((grant) => grant.credentialId));
    const orphans = state.rows.credentials.filter(
      (row) =>
        ids.has(row.id) &&
        row.oauth !== undefined &&
        row.oauth.state !== 'revoked' &&
        !state.rows.grants.some(
          (grant) => grant.credentialId === row.id && !grantIds.includes(grant.id) && isLive(grant, state.now()),
        ),
    );
    return orphans.length === 0 ? NOTHING : this.#endingOf(orphans);
  }

  /** The end of a credential that is removed with everything; `changes` are the caller's. */
  async ofRemoved(row: CredentialRow): Promise<TokenEnding> {
    return row.oauth === undefined || row.oauth.state === 'revoked' ? NOTHING : { ...(await this.#endingOf([row])), changes: [] };
  }

  /** Waits for what is being told. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #endingOf(rows: readonly CredentialRow[]): Promise<TokenEnding> {
    const opened = await Promise.all(rows.map(async (row) => ({ row, material: await this.#materialOf(row) })));
    return {
      changes: rows.flatMap((row): StoreChange[] => [
        { put: 'credential', row: { ...row, oauth: { ...row.oauth!, state: 'revoked', reason: 'its last grant ended' } } },
        { remove: 'sealed', id: row.id },
      ]),
      beforePublishing: () => {
        for (const row of rows) this.#parts.dropMaterial(row.id);
      },
      afterwards: () => {
        for (const { row, material } of opened) {
          const told = this.#tell(row, material).finally(() => this.#underWay.delete(told));
          this.#underWay.add(told);
        }
      },
    };
  }

  async #materialOf(row: CredentialRow): Promise<ReadonlyMap<string, Secret>> {
    const { state, dataKeys } = this.#parts;
    const sealed = await state.store.readSealed(row.id);
    return sealed === undefined ? new Map() : dataKeys.open(sealed);
  }

  async #tell(row: CredentialRow, material: ReadonlyMap<string, Secret>): Promise<void> {
    const outcome = await this.#revoke(row, material);
    const { state } = this.#parts;
    await state
      .exclusive(() =>
        state.commitInMemory({ action: 'oauth.revoked', credential: row, details: { at_provider: outcome } }, () => {}),
      )
      .catch(() => {});
  }

  async #revoke(row: CredentialRow, material: ReadonlyMap<string, Secret>): Promise<string> {
    // Revoking the refresh token ends the access tokens too (RFC 7009 2.1).
    const token = material.get('refresh_token') ?? material.get('access_token') ?? null;
    try {
      const client = this.#parts.clients.forCredential(row, material);
      const { revokeUrl } = oauthOf(client.parts.spec);
      if (token === null || revokeUrl === null) return 'not_offered';
      const { status } = await client.post(client.endpoint(revokeUrl), { token: token.reveal() });
      return status < 300 ? 'revoked' : `http_${status}`;
    } catch (thrown) {
      return thrown instanceof TokenFailure ? thrown.code : 'not_asked';
    }
  }
}
