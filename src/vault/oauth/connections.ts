/**
 * Stores what a consent brought: the tokens, sealed, and the grant that may use them. The same account with the same scopes is the same
 * credential: it gets the new tokens and every grant of it keeps its id. It must never widen a grant that exists.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ProviderSpec } from '../../config/provider.ts';
import { resolveInjections } from '../../config/provider-hosts.ts';
import type { Agent } from '../../domain/agent.ts';
import type { OAuthFlow, OAuthInfo } from '../../domain/credential.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/grant.ts';
import { Secret } from '../../domain/secret.ts';
import type { CredentialRow, GrantRow, StoreChange } from '../../store/rows.ts';
import { grantOf, isLive } from '../authority.ts';
import type { DataKeys } from '../data-keys.ts';
import { draftDelegation } from '../delegations.ts';
import type { NewGrant } from '../grant-input.ts';
import type { EmbeddedGrants } from '../grants.ts';
import { inTurn } from '../in-turn.ts';
import { requireNone } from '../names.ts';
import type { VaultState } from '../state.ts';
import type { Account } from './account.ts';
import type { ConnectedGrant, ConnectRequest } from './connect-flows.ts';
import { oauthOf, type PublicFields } from './endpoints.ts';
import { grantToRenew, renewedGrant } from './renewed-grant.ts';
import type { TokenAnswer } from './token-answer.ts';

export interface Consent {
  readonly request: ConnectRequest;
  readonly spec: ProviderSpec;
  readonly flow: OAuthFlow;
  readonly clientId: string;
  readonly fields: PublicFields;
  readonly requestedScopes: readonly string[];
  readonly answer: TokenAnswer;
  readonly account: Account;
  /** What the source of the next token needs beside the tokens. */
  readonly inputs: ReadonlyMap<string, Secret>;
}

export interface ConnectionsParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly grants: EmbeddedGrants;
  readonly dropMaterial: (credentialId: string) => void;
}

export class Connections {
  readonly #parts: ConnectionsParts;

  constructor(parts: ConnectionsParts) {
    this.#parts = parts;
  }

  /** Says before anybody consents what would be refused after it. @throws AlterError not_found, invalid_input, conflict */
  check(request: ConnectRequest, spec: ProviderSpec, flow: OAuthFlow, fields: PublicFields): void {
    const { grants, state } = this.#parts;
    requireNone([
      request.user !== undefined && request.grantId !== undefined
        ? 'user: a grant that is connected again stays with its owner'
        : undefined,
    ]);
    if (request.user !== undefined && request.agent !== undefined) state.findAgent(request.agent);
    if (request.grantId !== undefined) renewedGrant(this.#credentialOfGrant(request.grantId, spec).grant, request, state.now());
    else {
      const row = draftRow(spec, flow, fields, request);
      grants.draft({ ...newGrantOf(request, 'draft'), label: undefined }, row);
      try {
        grants.draft(newGrantOf(request, 'draft'), row);
      } catch (thrown) {
        // A label that is taken may be that of the same account, which is known only after the consent.
        if (!(thrown instanceof AlterError) || thrown.code !== 'conflict') throw thrown;
      }
    }
  }

  /** The credential of a grant that is to be connected again. @throws AlterError not_found, conflict */
  scopesOf(grantId: string, spec: ProviderSpec): readonly string[] {
    return this.#credentialOfGrant(grantId, spec).row.oauth!.scopes;
  }

  /** The fields that it was connected with. @throws AlterError not_found, conflict */
  fieldsOf(grantId: string, spec: ProviderSpec): PublicFields {
    const { publicFields } = this.#credentialOfGrant(grantId, spec).row;
    const names = new Set(spec.fields.filter((field) => !field.secret).map((field) => field.name));
    return Object.fromEntries(Object.entries(publicFields).filter(([name]) => names.has(name)));
  }

  /** @throws AlterError connect_failed, not_found, invalid_input, conflict, audit_unavailable, vault_unavailable */
  adopt(consent: Consent): Promise<ConnectedGrant> {
    const { state } = this.#parts;
    // Nobody can try it again: the code, or the refresh token, that brought this answer is used up.
    return inTurn(state, async () => {
      const { request, spec, account } = consent;
      const scopes = [...new Set(consent.answer.scopes ?? consent.requestedScopes)].sort();
      const named = request.grantId === undefined ? null : this.#credentialOfGrant(request.grantId, spec);
      if (named !== null) requireSameAccount(named.row, account, spec);
      const before = named?.row ?? this.#sameAccount(consent, scopes);
      const row = this.#rowOf(consent, scopes, before);
      const sealed = await this.#seal(consent, row, before);
      const { grant, isChanged } = this.#grantOf(request, row, named?.grant ?? null, before !== null);
      const changes: StoreChange[] = [
        { put: 'credential', row },
        { put: 'sealed', row: sealed },
        ...(isChanged ? [{ put: 'grant', row: grant } as const] : []),
      ];
      const { principal } = grant;
      // A person's grant is of use to nobody without the delegation, so both are made in one change, or neither.
      const delegation = this.#delegationOf(request, grant, row);
      const agent = principal.type === 'agent' ? state.authority.agents.get(principal.agentId) : delegation?.agent;
      const user = principal.type === 'user' ? state.authority.users.get(principal.userId) : undefined;
      await state.commit(
        {
          action: before === null ? 'oauth.connected' : 'oauth.reconnected',
          agent,
          user,
          grant,
          credential: row,
          delegationId: delegation?.row.id,
          details: {
            flow: consent.flow,
            account: account.name ?? account.id,
            scopes: scopes.join(' '),
            ...(isChanged ? { expires_at: grant.expiresAt } : {}),
            ...(delegation === null ? {} : { delegation_expires_at: delegation.row.expiresAt }),
          },
        },
        [...changes, ...(delegation?.changes ?? [])],
        { beforePublishing: () => this.#parts.dropMaterial(row.id) },
      );
      return {
        grantId: grant.id,
        providerId: spec.slug,
        label: grant.label,
        accountId: account.id,
        accountName: account.name,
        scopes,
        reconnected: before !== null,
      };
    });
  }

  /** The delegation that comes with a grant of a person who named an agent; null for every other grant. @throws AlterError not_found, conflict */
  #delegationOf(
    { user: userId, agent: name }: ConnectRequest,
    grant: GrantRow,
    row: CredentialRow,
  ): (ReturnType<typeof draftDelegation> & { readonly agent: Agent }) | null {
    if (userId === undefined || name === undefined) return null;
    const { state } = this.#parts;
    const agent = state.findAgent(name);
    return { agent, ...draftDelegation(state, { agent, grant: grantOf(grant, row.name), userId, by: 'user' }) };
  }

  #credentialOfGrant(grantId: string, spec: ProviderSpec): { readonly grant: GrantRow; readonly row: CredentialRow } {
    const { state, grants } = this.#parts;
    const { id } = grants.find(grantId);
    const grant = state.rows.grants.find((each) => each.id === id)!;
    const row = state.rows.credentials.find((each) => each.id === grant.credentialId)!;
    if (row.oauth === undefined || row.providerId !== spec.slug)
      throw new AlterError('conflict', { reason: `The grant ${id} is no connected account of ${spec.slug}` });
    if (!isLive(grant, state.now()))
      throw new AlterError('conflict', {
        reason: `The grant ${id} has ended`,
        hint: `Make a new one: \`alterd connect ${spec.slug}\`.`,
      });
    return { grant, row };
  }

  /** Several accounts and several scope sets of one account are credentials of their own. */
  #sameAccount({ spec, account, fields, clientId, flow }: Consent, scopes: readonly string[]): CredentialRow | null {
    if (account.id === null) return null;
    const publicFields = JSON.stringify(Object.entries({ ...fields, client_id: clientId }).sort());
    return (
      this.#parts.state.rows.credentials.find(
        (row) =>
          row.providerId === spec.slug &&
          row.oauth !== undefined &&
          row.oauth.state !== 'revoked' &&
          isRenewedAlike(row.oauth.flow, flow) &&
          row.oauth.accountId === account.id &&
          row.oauth.scopes.join(' ') === scopes.join(' ') &&
          JSON.stringify(Object.entries(row.publicFields).sort()) === publicFields,
      ) ?? null
    );
  }

  #rowOf(consent: Consent, scopes: readonly string[], before: CredentialRow | null): CredentialRow {
    const { state } = this.#parts;
    const { spec, account, request, flow, fields, clientId, answer } = consent;
    const oauth: OAuthInfo = {
      flow,
      accountId: account.id ?? before?.oauth?.accountId ?? null,
      accountName: account.name ?? before?.oauth?.accountName ?? null,
      scopes,
      expiresAt: answer.expiresAt,
      state: 'ok',
      reason: null,
      refreshBegunAt: null,
      allowPrivate: before?.oauth?.allowPrivate ?? request.allowPrivate === true,
    };
    const draft = draftRow(spec, flow, fields, request);
    const publicFields = { ...fields, client_id: clientId };
    if (before !== null)
      return {
        ...before,
        oauth,
        publicFields,
        fieldNames: draft.fieldNames,
        version: before.version + 1,
        rotatedAt: state.now(),
      };
    return { ...draft, oauth, publicFields, id: randomUUID(), name: this.#freeName(spec.slug), createdAt: state.now() };
  }

  async #seal(consent: Consent, row: CredentialRow, before: CredentialRow | null): Promise<ReturnType<DataKeys['seal']>> {
    const { dataKeys } = this.#parts;
    const { answer, inputs } = consent;
    const material = new Map<string, Secret>(Object.entries(row.publicFields).map(([name, value]) => [name, new Secret(value)]));
    for (const [name, value] of inputs) material.set(name, value);
    material.set('access_token', answer.accessToken);
    // Some providers hand out a refresh token with the first consent alone: the one that is there stays good.
    const kept =
      answer.refreshToken ?? inputs.get('refresh_token') ?? (before === null ? null : await this.#refreshTokenOf(before));
    if (kept !== null && kept !== undefined) material.set('refresh_token', kept);
    return dataKeys.seal(row.id, row.version, material);
  }

  async #refreshTokenOf(row: CredentialRow): Promise<Secret | null> {
    const sealed = await this.#parts.state.store.readSealed(row.id);
    return sealed === undefined ? null : (this.#parts.dataKeys.open(sealed).get('refresh_token') ?? null);
  }

  #grantOf(
    request: ConnectRequest,
    row: CredentialRow,
    named: GrantRow | null,
    isKnown: boolean,
  ): { readonly grant: GrantRow; readonly isChanged: boolean } {
    const { state, grants } = this.#parts;
    if (named !== null) return changed(named, renewedGrant(named, request, state.now()));
    // SECURITY: spelt out, so that a person's grant is never taken for the system's, which is everybody's.
    const principal: Principal = principalOf(request, state);
    const live = state.rows.grants.filter(
      (grant) => grant.credentialId === row.id && isLive(grant, state.now()) && isDeepStrictEqual(grant.principal, principal),
    );
    const existing = isKnown ? grantToRenew(live, request) : undefined;
    if (existing !== undefined) return changed(existing, renewedGrant(existing, request, state.now()));
    return { grant: grants.draft(newGrantOf(request, row.id), row).row, isChanged: true };
  }

  #freeName(slug: string): string {
    const taken = new Set(this.#parts.state.rows.credentials.map((row) => row.name));
    if (!taken.has(slug)) return slug;
    for (let n = 2; ; n++) if (!taken.has(`${slug}-${n}`)) return `${slug}-${n}`;
  }
}

const changed = (before: GrantRow, grant: GrantRow): { readonly grant: GrantRow; readonly isChanged: boolean } => ({
  grant,
  isChanged: grant !== before,
});

/** What a person consented to is one thing, whichever screen they used. */
const PERSONAL: ReadonlySet<OAuthFlow> = new Set(['authorization_code', 'device_code', 'refresh_token']);
const isRenewedAlike = (a: OAuthFlow, b: OAuthFlow): boolean => a === b || (PERSONAL.has(a) && PERSONAL.has(b));

function requireSameAccount(row: CredentialRow, account: Account, spec: ProviderSpec): void {
  const known = row.oauth!.accountId;
  // SECURITY: or whoever follows a reconnect link puts their own account behind other people's grants.
  if (known === null || account.id === known) return;
  throw new AlterError('connect_failed', {
    provider_id: spec.slug,
    problem: 'account_mismatch',
    reason: `${JSON.stringify(account.name ?? account.id ?? 'nobody')} consented, but the grant belongs to ${JSON.stringify(row.oauth!.accountName ?? known)}`,
  });
}

/** What a connection asks of its grant. */
export const newGrantOf = (request: ConnectRequest, credential: string): NewGrant => ({
  credential,
  agent: request.user === undefined ? request.agent : undefined,
  user: request.user,
  system: request.system,
  label: request.label,
  methods: request.restrictions?.methods,
  paths: request.restrictions?.paths,
  expiresAt: request.restrictions?.expiresAt,
  allowPrivate: request.allowPrivate,
});

function principalOf({ user, agent }: ConnectRequest, state: VaultState): Principal {
  if (user !== undefined) return { type: 'user', userId: user };
  return agent === undefined ? { type: 'system' } : { type: 'agent', agentId: state.findAgent(agent).id };
}

/** A credential as it will be, for checks and as the base of a new one. */
function draftRow(spec: ProviderSpec, flow: OAuthFlow, fields: PublicFields, request: ConnectRequest): CredentialRow {
  const { inject } = oauthOf(spec);
  return {
    id: 'draft',
    name: spec.slug,
    providerId: spec.slug,
    kind: 'bearer',
    fieldNames: ['access_token', 'client_id', ...Object.keys(fields)],
    version: 1,
    createdAt: 0,
    rotatedAt: null,
    lastUsedAt: null,
    injections: resolveInjections({ ...spec, inject }, new Map(Object.entries(fields))),
    destinations: null,
    publicFields: fields,
    oauth: {
      flow,
      accountId: null,
      accountName: null,
      scopes: [],
      expiresAt: null,
      state: 'ok',
      reason: null,
      refreshBegunAt: null,
      allowPrivate: request.allowPrivate === true,
    },
  };
}
