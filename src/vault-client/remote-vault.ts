/**
 * The vault of a host that borrows from a central one: the same port and rooms as the embedded one, over the view that it was given last
 * and the material that it was lent. The request path asks it as it asks the embedded one; the network is behind it.
 * SECURITY: past its lease nothing is served that its grant does not say; what the vault ended is ended here whatever else fails.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import type { AuditPort } from '../domain/audit.ts';
import type { Authority } from '../domain/authority.ts';
import type { CredentialMaterial } from '../domain/credential.ts';
import type { Delegation } from '../domain/delegation.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { VaultLinkStatus } from '../domain/vault-link.ts';
import { isLive } from '../vault/authority.ts';
import { changeView, EMPTY_VIEW, type HostView } from '../vault/host-view.ts';
import { reAuthRequired } from '../vault/oauth/refresher.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';
import { BorrowedMaterials } from './borrowed-materials.ts';
import { HostLease } from './host-lease.ts';
import { KeptLease, longestGraceMs } from './kept-lease.ts';
import type { LeaseCache } from './lease-cache.ts';
import type { ClockSource, Lease, Moment } from './lease-clock.ts';
import { LeasedRooms } from './leased-rooms.ts';
import { QuotaPurse } from './quota-purse.ts';
import type { Bundle, Unchanged, VaultCalls, ViewChanged } from './vault-calls.ts';
import { VaultLink } from './vault-link.ts';

export interface RemoteVaultOptions {
  readonly url: string;
  readonly calls: VaultCalls;
  readonly cache: LeaseCache;
  readonly clock: ClockSource;
  readonly catalogue: ProviderSource;
  readonly audit: AuditPort;
  readonly policiesDir: string;
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void };
  readonly now?: (() => number) | undefined;
  /** Lets go of the connections. */
  readonly onClosed?: (() => void) | undefined;
}

const TICK_MS = 1_000;
/** Replicas are a moment apart; a vault that was restored is older for good. */
const OLDER_COUNTS_AFTER_MS = 15_000;

export class RemoteVault implements VaultRooms {
  readonly #options: RemoteVaultOptions;
  readonly #rooms: LeasedRooms;
  readonly #materials: BorrowedMaterials;
  readonly #link: VaultLink;
  readonly quotas: QuotaPurse;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #view: HostView = EMPTY_VIEW;
  #epoch = 0;
  #digest: string | null = null;
  /** By performance.now(): since when the vault answers with views that are older than the one here. */
  #olderSince: number | null = null;
  readonly #lease: HostLease;
  readonly #kept: KeptLease;
  /** The longest that any grant may outlast its lease. */
  #longestGraceMs = 0;
  #grants: { readonly of: Authority; readonly byId: ReadonlyMap<string, Grant> } | null = null;
  #ended: AlterError | null = null;
  /** Why the view that was sent last can't be put in force: then nothing is. */
  #unusable: AlterError | null = null;
  #adopting: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: RemoteVaultOptions) {
    const { url, calls, cache, clock, catalogue, audit, policiesDir } = options;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const now = this.#now;
    this.#lease = new HostLease(clock);
    this.#kept = new KeptLease({ cache, clock, log: options.log });
    this.#rooms = new LeasedRooms({ vaultUrl: url, catalogue, audit, policiesDir, limits: cache, now });
    this.#link = new VaultLink({
      ...{ calls, clock, log: options.log },
      known: () => (this.#digest === null ? null : { epoch: this.#epoch, digest: this.#digest }),
      onBundle: (bundle, since) => this.#onBundle(bundle, since),
      onChanged: (change) => this.#onChanged(change),
      onEnded: (error) => this.#end(error),
    });
    this.#materials = new BorrowedMaterials({
      ...{ calls: this.#link.observed(calls), cache, clock },
      current: (id) => this.#current(id),
      versionOf: ({ credentialId }) => this.#view.credential.get(credentialId)?.version,
      isAway: () => this.#link.isAway,
      refusal: (_grant, reason) => this.#away(reason),
      onFault: (error) => this.#kept.failed(error),
    });
    this.quotas = new QuotaPurse({
      ...{ calls: this.#link.observed(calls), clock, isAway: () => this.#link.isAway || this.#ended !== null },
      isShared: (rule) => this.#rooms.policies.isShared(rule),
    });
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** Takes up what is kept from before, asks the vault, and goes on listening. The vault need not be there. */
  async start(): Promise<void> {
    await this.#restore();
    await this.#link.start();
    await this.#adopting;
  }

  /** Looks once whether the vault has something newer, for whoever must not wait for the stream. */
  refresh(): Promise<void> {
    return this.#link.refresh();
  }

  get agents() {
    return this.#rooms.agents;
  }
  get sessions() {
    return this.#rooms.sessions;
  }
  get secrets() {
    return this.#rooms.secrets;
  }
  get grants() {
    return this.#rooms.grants;
  }
  get users() {
    return this.#rooms.users;
  }
  get delegations() {
    return this.#rooms.delegations;
  }
  get permits() {
    return this.#rooms.permits;
  }
  get policies() {
    return this.#rooms.policies;
  }
  get connect() {
    return this.#rooms.connect;
  }
  get clients() {
    return this.#rooms.clients;
  }
  readonly policyProblems: readonly string[] = [];

  get epoch(): number {
    return this.#epoch;
  }

  get authority(): Authority {
    return this.#rooms.state.authority;
  }

  onAuthorityChange(listener: (authority: Authority) => void): () => void {
    return this.#rooms.state.onAuthorityChange(listener);
  }

  identify(key: string): CallerIdentity {
    this.#requireLease(this.#longestGraceMs);
    return this.#rooms.callers.identify(key);
  }

  isCallerValid(caller: CallerIdentity): boolean {
    return this.#hasLease(this.#longestGraceMs) && this.#rooms.callers.isValid(caller);
  }

  isLeased(grant: Grant): boolean {
    return this.#hasLease(grant.offlineGraceMs) && this.#materials.isLeased(grant);
  }

  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial> {
    this.#requireLease(grant.offlineGraceMs);
    const current = this.#current(grant.id);
    if (current === undefined)
      throw new AlterError('credential_unavailable', { grant_id: grant.id, reason: 'the grant is no longer active' });
    const credential = this.#view.credential.get(current.credentialId);
    if (credential === undefined)
      throw new AlterError('credential_unavailable', { grant_id: grant.id, reason: 'it was removed' });
    if (credential.oauth !== undefined && credential.oauth.state !== 'ok') throw reAuthRequired(grant, credential);
    return this.#materials.obtain(current);
  }

  async renewRefused(grant: Grant, version: number): Promise<CredentialMaterial | null> {
    const current = this.#current(grant.id);
    if (current === undefined || this.#link.isAway || this.#ended !== null) return null;
    try {
      return await this.#materials.renewRefused(current, version);
    } catch (thrown) {
      // The provider's own answer tells the agent more than that there was nobody to ask.
      if (toAlterError(thrown).code === 'vault_unavailable') return null;
      throw thrown;
    }
  }

  async dropDelegation(caller: CallerIdentity, delegationId: string): Promise<Delegation> {
    const found = this.authority.delegations.find(({ id, agentId }) => id === delegationId && agentId === caller.agentId);
    if (found === undefined) throw new AlterError('not_found', { what: 'delegation', name: delegationId });
    await this.#options.calls.dropDelegation(caller.agentId, delegationId);
    await this.#link.refresh();
    return this.authority.delegations.find(({ id }) => id === delegationId) ?? { ...found, status: 'revoked' };
  }

  get status(): VaultLinkStatus {
    return {
      ...{ url: this.#options.url, ...this.#link.status, epoch: this.#epoch, leaseLeftMs: this.#lease.leftMs },
      ...{
        quotas: this.quotas.status,
        held: this.#materials.size,
        reason: this.#ended?.message ?? this.#unusable?.message ?? this.#link.status.reason,
      },
      ...(this.#ended === null ? {} : { state: 'ended' as const }),
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.quotas.close();
    await this.#link.close();
    await this.#adopting.catch(() => {});
    await this.#rooms.state.settle();
    this.#materials.clear();
    this.#options.cache.close();
    this.#options.onClosed?.();
  }

  /** The grant as it is now; runs for every request. */
  #current(id: string): Grant | undefined {
    const { authority } = this;
    if (this.#grants?.of !== authority)
      this.#grants = { of: authority, byId: new Map(authority.grants.map((grant) => [grant.id, grant])) };
    const grant = this.#grants.byId.get(id);
    return grant !== undefined && isLive(grant, this.#now()) ? grant : undefined;
  }

  #hasLease(graceMs: number): boolean {
    if (this.#ended !== null || this.#unusable !== null || this.#closed) return false;
    return this.#lease.lasts(this.#link.isAway ? graceMs : 0);
  }

  /** @throws AlterError vault_unavailable, host_inactive */
  #requireLease(graceMs: number): void {
    if (this.#hasLease(graceMs)) return;
    if (this.#ended !== null) throw this.#ended;
    if (this.#unusable !== null) throw this.#unusable;
    throw this.#away(
      this.#lease.kept === null
        ? 'this host has no lease of it yet, or none that it may still use'
        : 'the lease of this host has ended',
    );
  }

  #away(reason: string): AlterError {
    const { url } = this.#options;
    const { state, since } = this.#link.status;
    const where = state === 'away' ? `; ${url} does not answer since ${new Date(since).toISOString()}` : '';
    return new AlterError(
      'vault_unavailable',
      { reason: `${reason}${where}` },
      {
        hint: `Is the vault up? On this host: \`alterd status\`. A grant that may outlast such an outage needs \`alterd grant update GRANT --offline-grace 1h\` at the vault.`,
      },
    );
  }

  #onBundle(bundle: Bundle | Unchanged, since: Moment): Promise<void> {
    const lease = { since, durationMs: bundle.leaseMs };
    if (bundle.view === null) {
      this.#olderSince = null;
      this.#epoch = Math.max(this.#epoch, bundle.epoch);
      this.#lease.begin(lease);
      this.#persist([]);
      return Promise.resolve();
    }
    const { view, epoch, digest } = bundle;
    if (this.#isOutrun(epoch)) return Promise.resolve();
    return this.#adopt(view, epoch, digest, lease);
  }

  /**
   * SECURITY: an answer that was on its way while a change came, or that is of a replica that has not heard of the change yet, would bring
   * back what was ended. It is asked for again until it is as new as what is here, or has been older for too long to be late.
   */
  #isOutrun(epoch: number): boolean {
    const now = performance.now();
    if (epoch >= this.#epoch) this.#olderSince = null;
    else this.#olderSince ??= now;
    return this.#olderSince !== null && now - this.#olderSince < OLDER_COUNTS_AFTER_MS;
  }

  /** Answers false when it is not for the view that is here. */
  #onChanged({ from, digest, epoch, changes }: ViewChanged): boolean {
    if (digest === this.#digest) return true;
    if (from !== this.#digest || epoch < this.#epoch) return false;
    void this.#adopt(changeView(this.#view, changes), epoch, digest, null);
    return true;
  }

  /** At once, but for policies, which have to be loaded first. */
  #adopt(view: HostView, epoch: number, digest: string, lease: Lease | null): Promise<void> {
    const [policies = null] = view.policies.values();
    const before = [...this.#view.policies.values()][0] ?? null;
    this.#view = view;
    this.#epoch = epoch;
    this.#digest = digest;
    this.#olderSince = null;
    if (lease !== null) this.#lease.begin(lease);
    this.#ended = null;
    if (this.#digest !== null && this.#unusable === null && policies?.id === before?.id && policies?.digest === before?.digest)
      this.#putInForce(view, epoch);
    else this.#adopting = this.#adopting.then(() => this.#loadAndPut(view, epoch));
    return this.#adopting;
  }

  async #loadAndPut(view: HostView, epoch: number): Promise<void> {
    const [row = null] = view.policies.values();
    try {
      const ready = await this.#rooms.policies.prepare(row);
      if (this.#view !== view) return;
      this.#unusable = null;
      this.#rooms.policies.use(ready);
      this.#putInForce(view, epoch);
    } catch (thrown) {
      // SECURITY: rules of the vault that can't be loaded must not be left out.
      const problems = (toAlterError(thrown).details as { problems?: readonly string[] }).problems ?? [];
      this.#options.log.warn({ problems }, 'the policies of the vault can not be loaded here; nothing is served');
      this.#unusable = new AlterError(
        'vault_unavailable',
        { reason: `its policies can't be loaded here: ${problems[0] ?? 'unknown'}` },
        { hint: 'Update this daemon, or correct the policy files of this host: `alterd policy validate`.' },
      );
    }
  }

  #putInForce(view: HostView, epoch: number): void {
    if (this.#view !== view) return;
    this.#longestGraceMs = longestGraceMs(view);
    this.#rooms.adopt(view, epoch);
    this.#persist(this.#materials.onView());
  }

  #persist(gone: readonly string[]): void {
    const lease = this.#lease.kept;
    if (this.#digest === null || lease === null || this.#ended !== null) return;
    this.#kept.write({ view: this.#view, epoch: this.#epoch, digest: this.#digest, lease }, gone);
  }

  async #restore(): Promise<void> {
    const found = this.#kept.read();
    if (found === null) return;
    await this.#adopt(found.view, found.epoch, found.digest ?? '', found.lease);
    for (const [grantId, kept] of this.#options.cache.found?.materials ?? [])
      if (found.view.grant.has(grantId)) this.#materials.restore(grantId, kept);
  }

  /** The vault ended what this host may do: nothing is left, in memory or on disk. */
  #end(error: AlterError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#options.log.warn({ reason: error.message }, 'the vault ended what this host may use');
    this.#view = EMPTY_VIEW;
    this.#digest = null;
    this.#lease.end();
    this.quotas.clear();
    this.#materials.clear();
    this.#rooms.adopt(EMPTY_VIEW, this.#epoch);
    this.#kept.clear();
  }

  #tick(): void {
    this.#lease.look();
    this.#materials.tick();
    if ((this.#lease.isDue || this.#olderSince !== null) && !this.#link.isAway) void this.#link.refresh();
  }
}
