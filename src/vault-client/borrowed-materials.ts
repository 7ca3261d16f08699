/**
 * Material that this host borrowed, in memory and in its cache, each for the time of its lease. What is in use is borrowed anew before
 * its lease ends and as soon as it changes at the vault, so that no request waits for a vault that answers. Nothing is served past its
 * lease but what its grant says in so many words, and only while the vault does not answer.
 */
import type { CredentialMaterial } from '../domain/credential.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { Secret } from '../domain/secret.ts';
import type { KeptHead, LeaseCache } from './lease-cache.ts';
import { type ClockSource, type Lease, momentOf, remainingMs } from './lease-clock.ts';
import type { LentMaterial, VaultCalls } from './vault-calls.ts';

/** What was not used for so long is not borrowed anew. */
const IDLE_MS = 5 * 60_000;
/** Of its lease, after which it is borrowed anew. */
const RENEW_AT_SHARE = 0.6;
/** After a failure a grant's material is not asked for again for this long. */
const RETRY_AFTER_MS = 500;
const MAX_BATCH = 100;

interface Held {
  readonly material: CredentialMaterial;
  readonly lease: Lease;
  /** By performance.now(): only ever moved forward in time, towards now. */
  endsAt: number;
  readonly renewAt: number;
  usedAt: number;
  /** The vault has another one now. */
  isOld: boolean;
}

interface Asking {
  readonly promise: Promise<CredentialMaterial>;
  readonly resolve: (material: CredentialMaterial) => void;
  readonly reject: (error: AlterError) => void;
}

export interface BorrowedOptions {
  readonly calls: Pick<VaultCalls, 'materials' | 'renew'>;
  readonly cache: LeaseCache;
  readonly clock: ClockSource;
  /** The grant as it is now; undefined when it may not be used. */
  readonly current: (grantId: string) => Grant | undefined;
  /** Version of its credential now. */
  readonly versionOf: (grant: Grant) => number | undefined;
  /** The vault did not answer when it was asked last. */
  readonly isAway: () => boolean;
  readonly refusal: (grant: Grant, reason: string) => AlterError;
  readonly onFault: (error: unknown) => void;
}

export class BorrowedMaterials {
  readonly #options: BorrowedOptions;
  readonly #held = new Map<string, Held>();
  readonly #asking = new Map<string, Asking>();
  readonly #failed = new Map<string, { readonly error: AlterError; readonly until: number }>();
  #queue: string[] = [];

  constructor(options: BorrowedOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#held.size;
  }

  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial> {
    const now = performance.now();
    const held = this.#held.get(grant.id);
    if (held !== undefined && now < held.endsAt && !held.isOld) {
      held.usedAt = now;
      return held.material;
    }
    if (held !== undefined && (now < held.endsAt || this.#hasGrace(grant, held))) {
      held.usedAt = now;
      // While the vault is away nobody waits for it; when it is not, its answer counts.
      if (this.#options.isAway()) return held.material;
      return this.#ask(grant.id).catch((error: AlterError) => {
        if (error.code === 'vault_unavailable') return held.material;
        throw error;
      });
    }
    const failed = this.#failed.get(grant.id);
    if (failed !== undefined && now < failed.until) throw failed.error;
    return this.#ask(grant.id);
  }

  /** False when it has been lent, and what was lent is over. */
  isLeased(grant: Grant): boolean {
    const held = this.#held.get(grant.id);
    return held === undefined || performance.now() < held.endsAt || (this.#options.isAway() && this.#hasGrace(grant, held));
  }

  async renewRefused(grant: Grant, version: number): Promise<CredentialMaterial | null> {
    const held = this.#held.get(grant.id);
    if (held !== undefined && held.material.version > version) return held.material;
    const since = momentOf(this.#options.clock);
    const lent = await this.#options.calls.renew(grant.id, version);
    if (lent === null) return null;
    this.#keep([lent], since);
    return lent.material;
  }

  /** What the cache had. */
  restore(grantId: string, kept: KeptHead): void {
    const { lease, credential_id, version, fields, public_fields } = kept as unknown as KeptMaterial;
    const material: CredentialMaterial = {
      credentialId: credential_id,
      version,
      fields: new Map(fields.map(([name, value]) => [name, new Secret(value)])),
      publicFields: new Set(public_fields),
    };
    const now = performance.now();
    const left = remainingMs(lease, momentOf(this.#options.clock));
    const isOld = this.#options.current(grantId)?.credentialId !== credential_id;
    this.#held.set(grantId, { material, lease, endsAt: now + left, renewAt: now, usedAt: now, isOld });
  }

  /** Looks at the clocks, lets go of what is over and idle, and borrows anew what is in use. */
  tick(): void {
    const { clock, current } = this.#options;
    const now = performance.now();
    const moment = momentOf(clock);
    const due: string[] = [];
    for (const [id, held] of this.#held) {
      held.endsAt = Math.min(held.endsAt, now + remainingMs(held.lease, moment));
      const grant = current(id);
      if (grant === undefined || (now - held.usedAt > IDLE_MS && now >= held.endsAt && !this.#hasGrace(grant, held)))
        this.#held.delete(id);
      else if (now - held.usedAt <= IDLE_MS && now >= held.renewAt) due.push(id);
    }
    for (const [id, { until }] of this.#failed) if (now >= until) this.#failed.delete(id);
    this.#prefetch(due);
  }

  /** The view changed: lets go of what may not be used any more, and borrows anew what is another one now. Answers what was let go. */
  onView(): string[] {
    const { current, versionOf } = this.#options;
    const now = performance.now();
    const gone: string[] = [];
    const changed: string[] = [];
    for (const [id, held] of this.#held) {
      const grant = current(id);
      if (grant === undefined || grant.noCache || grant.credentialId !== held.material.credentialId) gone.push(id);
      else if (versionOf(grant) !== held.material.version) {
        held.isOld = true;
        if (now - held.usedAt <= IDLE_MS) changed.push(id);
      }
    }
    for (const id of gone) this.#held.delete(id);
    this.#failed.clear();
    this.#prefetch(changed);
    return gone;
  }

  clear(): void {
    this.#held.clear();
    this.#failed.clear();
  }

  #hasGrace(grant: Grant, { lease }: Held): boolean {
    if (grant.offlineGraceMs === 0) return false;
    const extended = { ...lease, durationMs: lease.durationMs + grant.offlineGraceMs };
    return remainingMs(extended, momentOf(this.#options.clock)) > 0;
  }

  #prefetch(ids: readonly string[]): void {
    if (this.#options.isAway()) return;
    for (const id of ids) if (!this.#failed.has(id)) this.#ask(id).catch(() => {});
  }

  /** Asks for several at once when several are asked for in one turn. */
  #ask(grantId: string): Promise<CredentialMaterial> {
    let asking = this.#asking.get(grantId);
    if (asking === undefined) {
      let resolve: Asking['resolve'] = () => {};
      let reject: Asking['reject'] = () => {};
      const promise = new Promise<CredentialMaterial>((done, fail) => {
        resolve = done;
        reject = fail;
      });
      asking = { promise, resolve, reject };
      this.#asking.set(grantId, asking);
      if (this.#queue.push(grantId) === 1) setImmediate(() => void this.#flush());
    }
    return asking.promise;
  }

  async #flush(): Promise<void> {
    const all = this.#queue;
    this.#queue = [];
    for (let from = 0; from < all.length; from += MAX_BATCH) await this.#askFor(all.slice(from, from + MAX_BATCH));
  }

  async #askFor(ids: readonly string[]): Promise<void> {
    const since = momentOf(this.#options.clock);
    try {
      const { materials, failures } = await this.#options.calls.materials(ids);
      this.#keep(materials, since);
      for (const { grantId, error } of failures) this.#fail(grantId, error);
      for (const { grantId, material } of materials) this.#settle(grantId)?.resolve(material);
    } catch (thrown) {
      for (const id of ids) this.#fail(id, toAlterError(thrown));
    }
    for (const id of ids) this.#fail(id, new AlterError('vault_unavailable', { reason: 'it did not answer for this grant' }));
  }

  #settle(grantId: string): Asking | undefined {
    const asking = this.#asking.get(grantId);
    this.#asking.delete(grantId);
    return asking;
  }

  #fail(grantId: string, error: AlterError): void {
    const asking = this.#settle(grantId);
    if (asking === undefined) return;
    const grant = this.#options.current(grantId);
    // What the vault refuses by name is gone at once; what it could not be asked for serves on to the end of its lease.
    if (error.code !== 'vault_unavailable') this.#held.delete(grantId);
    const told =
      error.code === 'vault_unavailable' && grant !== undefined
        ? this.#options.refusal(grant, String(error.details.reason))
        : error;
    this.#failed.set(grantId, { error: told, until: performance.now() + RETRY_AFTER_MS });
    asking.reject(told);
  }

  #keep(lent: readonly LentMaterial[], since: Lease['since']): void {
    const { clock, current, cache, onFault } = this.#options;
    const kept = new Map<string, KeptHead>();
    const now = performance.now();
    for (const { grantId, material, leaseMs } of lent) {
      const grant = current(grantId);
      // SECURITY: it may have been revoked while it was on its way. And what may not be kept is for the one who waits for it, nobody else.
      if (grant === undefined || grant.noCache) continue;
      const lease = { since, durationMs: leaseMs };
      const left = remainingMs(lease, momentOf(clock));
      const usedAt = this.#held.get(grantId)?.usedAt ?? now;
      // What was asked for before the change, and comes after it, is asked for again by the next request.
      const isOld = (this.#options.versionOf(grant) ?? 0) > material.version;
      this.#held.set(grantId, { material, lease, endsAt: now + left, renewAt: now + left * RENEW_AT_SHARE, usedAt, isOld });
      this.#failed.delete(grantId);
      kept.set(grantId, keptOf(material, lease));
    }
    try {
      if (kept.size > 0) cache.writeMaterials(kept);
    } catch (thrown) {
      // It serves from memory: a full disk only takes away what a restart without the vault would need.
      onFault(thrown);
    }
  }
}

interface KeptMaterial {
  readonly lease: Lease;
  readonly credential_id: string;
  readonly version: number;
  readonly fields: readonly (readonly [string, string])[];
  readonly public_fields: readonly string[];
}

function keptOf({ credentialId, version, fields, publicFields }: CredentialMaterial, lease: Lease): KeptHead {
  const kept: KeptMaterial = {
    lease,
    credential_id: credentialId,
    version,
    fields: [...fields].map(([name, secret]) => [name, secret.reveal()] as const),
    public_fields: [...(publicFields ?? [])],
  };
  return kept as unknown as KeptHead;
}
