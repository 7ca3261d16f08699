/** Grants: who may call which hosts with which secret. Made, revoked (kept, to explain refusals), removed. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { DEFAULT_PLACEHOLDER, mintPlaceholder } from '../config/placeholder.ts';
import type { Agent } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant, Principal } from '../domain/grant.ts';
import type { User } from '../domain/user.ts';
import { signingPinsOf } from '../injection/injection-parts.ts';
import type { CredentialRow, GrantRow } from '../store/rows.ts';
import { grantOf, isLive } from './authority.ts';
import { endings } from './endings.ts';
import { changeDetails, changedGrant, type GrantChange } from './grant-change.ts';
import { checkScope, injectionsOf, type NewGrant } from './grant-input.ts';
import { requireNone } from './names.ts';
import type { TokenEndings } from './oauth/token-endings.ts';
import type { ProviderSource } from './provider-source.ts';
import { findCredential } from './secrets.ts';
import { pinSigning } from './signing-pins.ts';
import type { VaultState } from './state.ts';
import type { VaultUsers } from './users.ts';

const MIN_ID_PREFIX_LENGTH = 8;

export interface VaultGrants {
  list(): Grant[];
  /** By id, by the beginning of an id (8 characters or more), or by label. @throws AlterError not_found, conflict */
  find(idOrLabel: string): Grant;
  /** @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable */
  create(input: NewGrant): Promise<Grant>;
  /** @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable */
  change(idOrLabel: string, change: GrantChange): Promise<Grant>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  revoke(idOrLabel: string): Promise<Grant>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  remove(idOrLabel: string): Promise<void>;
}

export class EmbeddedGrants implements VaultGrants {
  readonly #state: VaultState;
  readonly #catalogue: ProviderSource;
  readonly #endings: TokenEndings;
  readonly #users: Pick<VaultUsers, 'find'>;

  constructor(state: VaultState, catalogue: ProviderSource, endings: TokenEndings, users: Pick<VaultUsers, 'find'>) {
    this.#state = state;
    this.#users = users;
    this.#catalogue = catalogue;
    this.#endings = endings;
  }

  list(): Grant[] {
    return [...this.#state.authority.grants];
  }

  find(idOrLabel: string): Grant {
    const { grants } = this.#state.authority;
    const exact = grants.find((grant) => grant.id === idOrLabel);
    if (exact) return exact;
    const byLabel = idOrLabel === '' ? [] : grants.filter((grant) => grant.label === idOrLabel);
    const live = byLabel.filter((grant) => isLive(grant, this.#state.now()));
    const byId = idOrLabel.length < MIN_ID_PREFIX_LENGTH ? [] : grants.filter((grant) => grant.id.startsWith(idOrLabel));
    const found = [live, byLabel, byId].find((matching) => matching.length > 0) ?? [];
    if (found.length > 1) {
      throw new AlterError('conflict', {
        reason: `Several grants match "${idOrLabel}"`,
        hint: 'Give the id: `alterd grant list`.',
      });
    }
    if (found[0] === undefined)
      throw new AlterError('not_found', { what: 'grant', name: idOrLabel, list_command: 'alterd grant list' });
    return found[0];
  }

  create(input: NewGrant): Promise<Grant> {
    const state = this.#state;
    return state.exclusive(async () => {
      requireNone(shapeProblems(input));
      const credential = this.#credentialFor(input);
      const { row, agent, user } = this.draft(input, credential);
      await state.commit({ action: 'grant.created', agent, user, grant: row, credential, details: scopeDetails(row) }, [
        { put: 'grant', row },
      ]);
      return grantOf(row, credential.name);
    });
  }

  /** A checked grant of this credential, not stored yet. Call it inside exclusive(). @throws AlterError not_found, invalid_input, conflict */
  draft(
    input: NewGrant,
    credential: CredentialRow,
  ): { readonly row: GrantRow; readonly agent: Agent | undefined; readonly user: User | undefined } {
    requireNone(shapeProblems(input));
    const agent = input.agent === undefined ? undefined : this.#state.findAgent(input.agent);
    const user = input.user === undefined ? undefined : this.#users.find(input.user);
    const provider = this.#catalogue.find(credential.providerId);
    const now = this.#state.now();
    const { scope, problems } = checkScope(input, credential, provider, now);
    requireNone(problems);
    if (credential.oauth?.state === 'revoked') {
      throw new AlterError('conflict', {
        reason: `The tokens of "${credential.name}" are destroyed`,
        hint: `Connect the account again: \`alterd connect ${credential.providerId}\`.`,
      });
    }
    const principal = principalOf(agent, user, input);
    this.#requireUsableAgent(agent);
    this.#requireFreeLabel(scope.label, principal, credential.providerId);
    const row: GrantRow = {
      ...scope,
      id: randomUUID(),
      principal,
      grantKind: credential.oauth === undefined ? 'managed_secret' : 'oauth',
      providerId: credential.providerId,
      credentialId: credential.id,
      placeholder: this.#freshPlaceholder(provider?.placeholder ?? DEFAULT_PLACEHOLDER),
      status: 'active',
      createdAt: now,
      revokedAt: null,
    };
    return { row, agent, user };
  }

  change(idOrLabel: string, change: GrantChange): Promise<Grant> {
    const state = this.#state;
    return state.exclusive(async () => {
      const { credentialName, ...before } = this.find(idOrLabel);
      if (!isLive(before, state.now()))
        throw new AlterError('conflict', {
          reason: `The grant ${before.id} has ended`,
          hint: `Make a new one: \`alterd grant create ${before.providerId}\`.`,
        });
      const { row: changed, problems } = changedGrant(before, change, state.now());
      requireNone(problems);
      if (changed.label !== before.label) this.#requireFreeLabel(changed.label, before.principal, before.providerId);
      const row: GrantRow = { ...changed, injections: this.#pinned(before, change) };
      if (isDeepStrictEqual(row, before)) return grantOf(row, credentialName);
      const details = {
        ...{ no_cache: row.noCache, offline_grace_ms: row.offlineGraceMs },
        ...pinDetails(row, true),
        ...bodyDetails(row),
        ...changeDetails(before, row),
      };
      await state.commit({ action: 'grant.changed', ...this.#eventParts({ ...row, credentialName }), details }, [
        { put: 'grant', row },
      ]);
      return grantOf(row, credentialName);
    });
  }

  revoke(idOrLabel: string): Promise<Grant> {
    const state = this.#state;
    return state.exclusive(async () => {
      const grant = this.find(idOrLabel);
      if (grant.status === 'revoked') return grant;
      const { credentialName, ...before } = grant;
      const row: GrantRow = { ...before, status: 'revoked', revokedAt: state.now() };
      const delegations = state.rows.delegations.filter((delegation) => delegation.grantId === grant.id);
      const ending = await this.#endings.prepare([grant.id]);
      await state.commit(
        { action: 'grant.revoked', ...this.#eventParts(grant) },
        [{ put: 'grant', row }, ...endings(delegations, 'operator', state.now()), ...ending.changes],
        ending,
      );
      ending.afterwards();
      return grantOf(row, credentialName);
    });
  }

  remove(idOrLabel: string): Promise<void> {
    const state = this.#state;
    return state.exclusive(async () => {
      const grant = this.find(idOrLabel);
      const ending = await this.#endings.prepare([grant.id]);
      await state.commit(
        { action: 'grant.removed', ...this.#eventParts(grant) },
        [{ remove: 'grant', id: grant.id }, ...ending.changes],
        ending,
      );
      ending.afterwards();
    });
  }

  /** @throws AlterError invalid_input */
  #pinned(grant: GrantRow, change: GrantChange): Grant['injections'] {
    const credential = this.#state.rows.credentials.find((row) => row.id === grant.credentialId);
    if (credential === undefined || (change.awsRegion === undefined && change.awsService === undefined)) return grant.injections;
    const provider = this.#catalogue.find(credential.providerId);
    const problems: (string | undefined)[] = [];
    const base = injectionsOf(credential, provider, problems);
    const injections = pinSigning(grant.injections, base, change, { credential, provider }, problems);
    requireNone(problems);
    return injections;
  }

  #eventParts(grant: Grant): { grant: Grant; agent: Agent | undefined; credential: { name: string; providerId: string } } {
    const agent = grant.principal.type === 'agent' ? this.#state.authority.agents.get(grant.principal.agentId) : undefined;
    return { grant, agent, credential: { name: grant.credentialName, providerId: grant.providerId } };
  }

  /** The secret that is named, or the only one of the provider. */
  #credentialFor(input: NewGrant): CredentialRow {
    const slug = input.provider === undefined ? undefined : (this.#catalogue.find(input.provider)?.slug ?? input.provider);
    if (input.credential !== undefined) {
      const credential = findCredential(this.#state, input.credential);
      requireNone([
        slug === undefined || slug === credential.providerId
          ? undefined
          : `credential: "${credential.name}" is not of provider "${slug}"`,
      ]);
      return credential;
    }
    const { credentials } = this.#state.rows;
    const ofProvider = credentials.filter((row) => row.providerId === slug);
    const [only, another] = ofProvider.length > 0 ? ofProvider : credentials.filter((row) => row.name === input.provider);
    if (another) {
      const names = ofProvider
        .map((row) => row.name)
        .sort()
        .join(', ');
      throw new AlterError('conflict', {
        reason: `There are several secrets of "${slug}" (${names})`,
        hint: 'Say which: --secret NAME.',
      });
    }
    if (only) return only;
    throw new AlterError(
      'not_found',
      { what: 'secret of provider', name: slug ?? '' },
      {
        hint:
          slug !== undefined && this.#catalogue.find(slug)?.kind === 'oauth'
            ? `Connect an account: \`alterd connect ${slug} --agent NAME\`.`
            : `Store one: \`alterd secret add ${slug}\`.`,
      },
    );
  }

  #requireUsableAgent(agent: Agent | undefined): void {
    if (agent?.status === 'revoked')
      throw new AlterError('conflict', {
        reason: `Agent "${agent.name}" is revoked`,
        hint: 'Make a new one: `alterd agent create NAME`.',
      });
  }

  #requireFreeLabel(label: string, principal: Principal, providerId: string): void {
    if (label === '') return;
    const taken = this.#state.rows.grants.some(
      (grant) =>
        grant.label === label &&
        grant.providerId === providerId &&
        isLive(grant, this.#state.now()) &&
        isSamePrincipal(grant.principal, principal),
    );
    if (taken)
      throw new AlterError('conflict', {
        reason: `There is an active grant labelled "${label}" already`,
        hint: 'Choose another label, or revoke the old grant.',
      });
  }

  #freshPlaceholder(template: string): string {
    const { grants } = this.#state.rows;
    for (;;) {
      const minted = mintPlaceholder(template);
      // A shape without a random part would be the same for every grant.
      const placeholder = minted === template ? template + mintPlaceholder('_{random:24}') : minted;
      if (!grants.some((grant) => grant.placeholder === placeholder)) return placeholder;
    }
  }
}

const shapeProblems = (input: NewGrant): (string | undefined)[] => [
  input.provider === undefined && input.credential === undefined ? 'provider: name a provider or a credential' : undefined,
  ownersNamed(input) === 1 ? undefined : 'agent: name an agent, a user or a group, or say system',
];

const ownersNamed = ({ agent, user, group, system }: NewGrant): number =>
  [agent !== undefined, user !== undefined, group !== undefined, system === true].filter((named) => named).length;

/** SECURITY: spelt out, so that an owner who was not understood can never become the system, which is everybody. */
function principalOf(agent: Agent | undefined, user: User | undefined, { group, system }: NewGrant): Principal {
  if (agent !== undefined) return { type: 'agent', agentId: agent.id };
  if (user !== undefined) return { type: 'user', userId: user.id };
  if (group !== undefined) return { type: 'group', issuer: group.issuer, group: group.name };
  if (system === true) return { type: 'system' };
  throw new AlterError('invalid_input', { problems: ['agent: name an agent, a user or a group, or say system'] });
}

const isSamePrincipal = (a: Principal, b: Principal): boolean => isDeepStrictEqual(a, b);

/** The pins of a grant, for its audit rows; those that it has, or each of them where one was changed. */
function pinDetails(row: GrantRow, all: boolean): Record<string, string | null> {
  if (!row.injections.some((each) => each.in === 'sigv4')) return {};
  const { region, service } = signingPinsOf(row.injections);
  return {
    ...(region === null && !all ? {} : { aws_region: region }),
    ...(service === null && !all ? {} : { aws_service: service }),
  };
}

const scopeDetails = (row: GrantRow): Record<string, string | number | boolean | null> => ({
  hosts: row.destinations.map(({ scheme, pattern, port }) => `${scheme}://${pattern}:${port}`).join(' '),
  methods: row.methods?.join(' ') ?? null,
  ...(row.git === null ? {} : { git: row.git }),
  expires_at: row.expiresAt,
  ...pinDetails(row, false),
  allow_private: row.allowPrivate,
  allow_plaintext: row.allowPlaintext,
  pass_response_cookies: row.passResponseCookies,
  ...(row.noCache ? { no_cache: true } : {}),
  ...(row.offlineGraceMs === 0 ? {} : { offline_grace_ms: row.offlineGraceMs }),
  ...(row.auditBodies === 'none' ? {} : bodyDetails(row)),
});

const bodyDetails = ({ auditBodies, auditBodyBytes }: GrantRow): Record<string, string | number> => ({
  audit_bodies: auditBodies,
  audit_body_bytes: auditBodyBytes,
});
