/**
 * Hosts of the fleet: invited by an operator, enrolled once by a token, and known from then on by two public keys. What a host gets is
 * what is assigned to it. Must never keep a token (only its hash), and never let a used token set other keys.
 */
import { createHash, randomUUID } from 'node:crypto';
import { AlterError } from '../domain/errors.ts';
import type { FleetHost, FleetHostStatus } from '../domain/fleet-host.ts';
import type { Secret } from '../domain/secret.ts';
import type { HostAudit } from '../store/store.ts';
import type { VaultEvent } from './events.ts';
import { mintInvite } from './invite-text.ts';
import type { LastUses } from './last-uses.ts';
import { requireNone, slugProblem } from './names.ts';
import type { VaultState } from './state.ts';

const HOUR_MS = 3_600_000;
export const INVITE_MS = 24 * HOUR_MS;
const MAX_INVITE_MS = 30 * 24 * HOUR_MS;

/** What a host says of itself when it comes with a token. */
export interface Enrolment {
  readonly token: string;
  /** Raw Ed25519 public key and uncompressed P-256 point, base64url. */
  readonly signingKey: string;
  readonly sealingKey: string;
  readonly capabilities: readonly string[];
  readonly version: string;
}

export type HostKeys = Pick<Enrolment, 'signingKey' | 'sealingKey' | 'capabilities' | 'version'>;

export interface Assignment {
  /** Names or ids. */
  readonly agents: readonly string[];
  /** Left out: as it was. */
  readonly systemGrants?: boolean | undefined;
}

/** What hosts have sent of their journals. */
export type HostAuditReader = Pick<HostAudit, 'listHostAudit' | 'listHostChains' | 'lastHostAudit'>;

export interface VaultHosts {
  list(): FleetHost[];
  /** By name or id. @throws AlterError not_found */
  find(name: string): FleetHost;
  byId(id: string): FleetHost | undefined;
  /** A new host, with the token that it enrols by. @throws AlterError conflict, invalid_input, audit_unavailable, vault_unavailable */
  invite(name: string, ttlMs?: number): Promise<{ readonly host: FleetHost; readonly token: Secret }>;
  /** Another token for a host that is there: its keys stay in force until it is used. @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable */
  reinvite(name: string, ttlMs?: number): Promise<{ readonly host: FleetHost; readonly token: Secret }>;
  /** The same token with the same keys again answers the same. @throws AlterError enrolment_refused, conflict, audit_unavailable, vault_unavailable */
  enroll(enrolment: Enrolment): Promise<FleetHost>;
  /** The host itself changes its keys, or says that its daemon is another one. @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  replaceKeys(id: string, keys: HostKeys): Promise<FleetHost>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  assign(name: string, assignment: Assignment): Promise<FleetHost>;
  unassign(name: string, assignment: Assignment): Promise<FleetHost>;
  changeStatus(name: string, status: Exclude<FleetHostStatus, 'invited'>): Promise<FleetHost>;
  /** Forgets a host that is revoked, or never came. @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  remove(name: string): Promise<void>;
  noteSeen(id: string): void;
}

export class EmbeddedHosts implements VaultHosts {
  readonly #state: VaultState;
  readonly #uses: LastUses;
  #index: { readonly rows: readonly FleetHost[]; readonly byId: ReadonlyMap<string, FleetHost> } | null = null;

  constructor(state: VaultState, uses: LastUses) {
    this.#state = state;
    this.#uses = uses;
  }

  list(): FleetHost[] {
    return this.#state.rows.hosts.map((host) => this.#seen(host));
  }

  find(name: string): FleetHost {
    return this.#seen(this.#required(name));
  }

  byId(id: string): FleetHost | undefined {
    const { hosts } = this.#state.rows;
    if (this.#index?.rows !== hosts) this.#index = { rows: hosts, byId: new Map(hosts.map((host) => [host.id, host])) };
    return this.#index.byId.get(id);
  }

  invite(name: string, ttlMs = INVITE_MS): Promise<{ readonly host: FleetHost; readonly token: Secret }> {
    return this.#state.exclusive(async () => {
      requireNone([slugProblem('name', name), ttlProblem(ttlMs)]);
      const now = this.#state.now();
      const token = mintInvite();
      const host: FleetHost = {
        ...{ id: randomUUID(), name, status: 'invited', inviteHash: hashOf(token.reveal()), inviteExpiresAt: now + ttlMs },
        ...{ signingKey: null, sealingKey: null, capabilities: [], version: null, agentIds: [], systemGrants: false },
        ...{ createdAt: now, enrolledAt: null, lastUsedAt: null },
      };
      if (this.#state.rows.hosts.some((each) => each.name === name))
        throw new AlterError('conflict', {
          reason: `There is a host "${name}" already`,
          hint: `A new token for it: \`alterd vault host rekey ${name}\`.`,
        });
      await this.#put('host.invited', host, { expires_at: now + ttlMs, again: false });
      return { host, token };
    });
  }

  reinvite(name: string, ttlMs = INVITE_MS): Promise<{ readonly host: FleetHost; readonly token: Secret }> {
    return this.#state.exclusive(async () => {
      requireNone([ttlProblem(ttlMs)]);
      const before = this.#required(name);
      requireNotRevoked(before);
      const token = mintInvite();
      const inviteExpiresAt = this.#state.now() + ttlMs;
      const host: FleetHost = { ...before, inviteHash: hashOf(token.reveal()), inviteExpiresAt };
      await this.#put('host.invited', host, { expires_at: inviteExpiresAt, again: true });
      return { host, token };
    });
  }

  enroll({ token, ...keys }: Enrolment): Promise<FleetHost> {
    return this.#state.exclusive(async () => {
      const now = this.#state.now();
      const hash = hashOf(token);
      const before = this.#state.rows.hosts.find((host) => host.inviteHash === hash);
      if (before === undefined) throw new AlterError('enrolment_refused', { enrolment_error: 'unknown' });
      requireNotRevoked(before);
      const hasTheseKeys = before.signingKey === keys.signingKey && before.sealingKey === keys.sealingKey;
      if (before.inviteExpiresAt === null) {
        // SECURITY: whoever reads a used token somewhere must not be able to put keys of their own in the place of the host's.
        if (!hasTheseKeys) throw new AlterError('enrolment_refused', { enrolment_error: 'used', host: before.name });
        return this.#seen(before);
      }
      if (before.inviteExpiresAt <= now)
        throw new AlterError('enrolment_refused', { enrolment_error: 'expired', host: before.name });
      const status = before.status === 'invited' ? 'active' : before.status;
      const host: FleetHost = { ...before, ...ownKeys(keys), status, inviteExpiresAt: null, enrolledAt: now };
      await this.#put('host.enrolled', host, { version: keys.version, key: shownKey(keys.signingKey) });
      return host;
    });
  }

  replaceKeys(id: string, keys: HostKeys): Promise<FleetHost> {
    return this.#state.exclusive(async () => {
      const before = this.#required(id);
      requireNotRevoked(before);
      const hasTheseKeys = before.signingKey === keys.signingKey && before.sealingKey === keys.sealingKey;
      // A token that is still out is for keys that are replaced; a newer daemon with the same keys leaves it alone.
      const invite = hasTheseKeys ? {} : { inviteHash: null, inviteExpiresAt: null };
      const host: FleetHost = { ...before, ...ownKeys(keys), ...invite };
      if (isSame(before, host)) return this.#seen(before);
      const details = { version: keys.version, key: shownKey(keys.signingKey) };
      await this.#put(hasTheseKeys ? 'host.updated' : 'host.rekeyed', host, details);
      return host;
    });
  }

  assign(name: string, assignment: Assignment): Promise<FleetHost> {
    return this.#reassign('host.assigned', name, assignment, (held, named) => [...new Set([...held, ...named])]);
  }

  unassign(name: string, assignment: Assignment): Promise<FleetHost> {
    return this.#reassign('host.unassigned', name, assignment, (held, named) => held.filter((id) => !named.includes(id)));
  }

  changeStatus(name: string, status: Exclude<FleetHostStatus, 'invited'>): Promise<FleetHost> {
    return this.#state.exclusive(async () => {
      const before = this.#required(name);
      if (before.status === status) return this.#seen(before);
      requireNotRevoked(before);
      if (before.status === 'invited' && status !== 'revoked')
        throw new AlterError('conflict', {
          reason: `Host "${before.name}" has not enrolled yet`,
          hint: `A new token: \`alterd vault host rekey ${before.name}\`.`,
        });
      // A token that is still out goes with it; enroll() takes a revoked host back by no token.
      const host: FleetHost = { ...before, status, ...(status === 'revoked' ? { inviteExpiresAt: null, inviteHash: null } : {}) };
      const action = { active: 'host.resumed', paused: 'host.paused', revoked: 'host.revoked' } as const;
      await this.#put(action[status], host);
      return this.#seen(host);
    });
  }

  remove(name: string): Promise<void> {
    return this.#state.exclusive(async () => {
      const host = this.#required(name);
      if (host.status !== 'revoked' && host.status !== 'invited')
        throw new AlterError('conflict', {
          reason: `Host "${host.name}" is ${host.status}`,
          hint: `Revoke it first: \`alterd vault host revoke ${host.name}\`.`,
        });
      await this.#state.commit(eventOf('host.removed', host), [{ remove: 'host', id: host.id }]);
    });
  }

  noteSeen(id: string): void {
    this.#uses.note('host', id, this.#state.now());
  }

  #reassign(
    action: 'host.assigned' | 'host.unassigned',
    name: string,
    { agents, systemGrants }: Assignment,
    next: (held: readonly string[], named: readonly string[]) => readonly string[],
  ): Promise<FleetHost> {
    return this.#state.exclusive(async () => {
      const before = this.#required(name);
      requireNotRevoked(before);
      const named = agents.map((agent) => this.#state.findAgent(agent));
      const agentIds = next(
        before.agentIds,
        named.map(({ id }) => id),
      );
      const host: FleetHost = { ...before, agentIds, systemGrants: systemGrants ?? before.systemGrants };
      if (agentIds.join() === before.agentIds.join() && host.systemGrants === before.systemGrants) return this.#seen(before);
      await this.#put(action, host, { agents: named.map((agent) => agent.name).join(' '), system_grants: host.systemGrants });
      return this.#seen(host);
    });
  }

  #required(name: string): FleetHost {
    const found = this.byId(name) ?? this.#state.rows.hosts.find((host) => host.name === name);
    if (found !== undefined) return found;
    throw new AlterError('not_found', { what: 'host', name, list_command: 'alterd vault host list' });
  }

  async #put(action: VaultEvent['action'], row: FleetHost, details: VaultEvent['details'] = {}): Promise<void> {
    await this.#state.commit(eventOf(action, row, details), [{ put: 'host', row }]);
  }

  #seen(host: FleetHost): FleetHost {
    return { ...host, lastUsedAt: this.#uses.latest('host', host.id, host.lastUsedAt) };
  }
}

const eventOf = (action: VaultEvent['action'], host: FleetHost, details: VaultEvent['details'] = {}): VaultEvent => ({
  action,
  details: { host_id: host.id, host: host.name, ...details },
});

const ownKeys = ({ signingKey, sealingKey, capabilities, version }: HostKeys): HostKeys => ({
  signingKey,
  sealingKey,
  capabilities: [...new Set(capabilities)].sort(),
  version,
});

const isSame = (a: FleetHost, b: FleetHost): boolean =>
  a.signingKey === b.signingKey &&
  a.sealingKey === b.sealingKey &&
  a.version === b.version &&
  a.capabilities.join() === b.capabilities.join();

function requireNotRevoked(host: FleetHost): void {
  if (host.status === 'revoked')
    throw new AlterError('conflict', {
      reason: `Host "${host.name}" is revoked`,
      hint: 'Remove it and invite it anew: `alterd vault host remove NAME`, `alterd vault host invite NAME`.',
    });
}

const ttlProblem = (ttlMs: number): string | undefined =>
  Number.isSafeInteger(ttlMs) && ttlMs >= 1_000 && ttlMs <= MAX_INVITE_MS
    ? undefined
    : 'expires_in_ms: an invitation lasts from one second to 30 days';

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** Enough to tell two keys apart. */
const shownKey = (key: string): string => key.slice(0, 12);
