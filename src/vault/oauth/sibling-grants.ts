/**
 * One grant more on an account that its owner has connected already: no consent of the provider is needed, because nothing is asked of it.
 * SECURITY: only for the user whose account it is, and only with what the account was given. Whoever calls this has to know who the user is.
 */
import type { ProviderSpec } from '../../config/provider.ts';
import { AlterError } from '../../domain/errors.ts';
import type { User } from '../../domain/user.ts';
import type { CredentialRow } from '../../store/rows.ts';
import { grantOf, isLive } from '../authority.ts';
import { draftDelegation } from '../delegations.ts';
import type { EmbeddedGrants } from '../grants.ts';
import type { VaultState } from '../state.ts';
import type { ConnectedGrant, ConnectRequest, KnownAccount } from './connect-flows.ts';
import { newGrantOf } from './connections.ts';
import type { PublicFields } from './endpoints.ts';

/** What is asked for, with its provider, its scopes and its fields read already. */
export interface SiblingRequest {
  readonly request: ConnectRequest;
  readonly spec: ProviderSpec;
  readonly scopes: readonly string[];
  readonly fields: PublicFields;
}

export class SiblingGrants {
  readonly #state: VaultState;
  readonly #grants: EmbeddedGrants;

  constructor(state: VaultState, grants: EmbeddedGrants) {
    this.#state = state;
    this.#grants = grants;
  }

  /** The account that would be used; null when there is none, or several to choose from. */
  find(asked: SiblingRequest): KnownAccount | null {
    const row = this.#accountFor(asked);
    return row === null
      ? null
      : { name: row.oauth?.accountName ?? row.oauth?.accountId ?? null, scopes: row.oauth?.scopes ?? [] };
  }

  /** @throws AlterError conflict, not_found, invalid_input, audit_unavailable, vault_unavailable */
  create(asked: SiblingRequest): Promise<ConnectedGrant> {
    const state = this.#state;
    return state.exclusive(async () => {
      const { request, spec } = asked;
      const row = this.#accountFor(asked);
      if (row?.oauth === undefined || request.agent === undefined)
        throw new AlterError('conflict', {
          reason: `There is no account of ${spec.name} that could be used without a new consent`,
          hint: `Connect it: \`alterd connect ${spec.slug}\`.`,
        });
      const { row: grant, user } = this.#grants.draft(newGrantOf(request, row.id), row);
      const agent = state.findAgent(request.agent);
      const delegation = draftDelegation(state, {
        grant: grantOf(grant, row.name),
        agent,
        userId: user?.id ?? null,
        expiresAt: request.restrictions?.expiresAt,
        by: 'user',
      });
      await state.commit(
        {
          action: 'grant.created',
          agent,
          user,
          grant,
          credential: row,
          delegationId: delegation.row.id,
          details: { by: 'user', account: row.oauth.accountName ?? row.oauth.accountId, expires_at: grant.expiresAt },
        },
        [{ put: 'grant', row: grant }, ...delegation.changes],
      );
      return {
        grantId: grant.id,
        providerId: spec.slug,
        label: grant.label,
        accountId: row.oauth.accountId,
        accountName: row.oauth.accountName,
        scopes: row.oauth.scopes,
        reconnected: false,
      };
    });
  }

  #accountFor({ request, spec, scopes, fields }: SiblingRequest): CredentialRow | null {
    const { rows } = this.#state;
    const user = rows.users.find((each) => each.id === request.user);
    if (user === undefined || !isActive(user)) return null;
    const now = this.#state.now();
    const theirs = new Set(
      rows.grants
        .filter(({ principal }) => principal.type === 'user' && principal.userId === user.id)
        // SECURITY: an account whose last grant of theirs has ended was taken back.
        .filter((grant) => isLive(grant, now))
        .map((grant) => grant.credentialId),
    );
    const found = rows.credentials.filter(
      (row) =>
        theirs.has(row.id) &&
        row.providerId === spec.slug &&
        row.oauth?.state === 'ok' &&
        row.oauth.allowPrivate === (request.allowPrivate === true) &&
        scopes.every((scope) => row.oauth?.scopes.includes(scope)) &&
        Object.entries(fields).every(([name, value]) => row.publicFields[name] === value),
    );
    return found.length === 1 ? (found[0] as CredentialRow) : null;
  }
}

const isActive = (user: User): boolean => user.status === 'active';
