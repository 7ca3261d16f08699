/**
 * Renews access tokens: ahead of their end, once for however many wait, and so that a crash at any point leaves either the newest tokens
 * or a credential that says it has to be connected again.
 *
 *   1 mark     where the refresh token is good for one use, "begun" is stored before it leaves
 *   2 ask      one call, outside of the vault's queue: other changes go on meanwhile
 *   3 commit   new tokens replace the old ones in one transaction; until it is durable they are kept here and nothing is asked again
 *
 * It must never ask twice at a time for one credential, nor go on asking a provider that refuses (S-101).
 */
import { randomUUID } from 'node:crypto';
import { AlterError, toAlterError } from '../../domain/errors.ts';
import type { Secret } from '../../domain/secret.ts';
import { LostLease, StaleEpoch } from '../../store/conflicts.ts';
import type { CredentialRow } from '../../store/rows.ts';
import type { HeldLease } from '../../store/store.ts';
import type { DataKeys } from '../data-keys.ts';
import type { VaultState } from '../state.ts';
import { sourceOf } from './sources/all.ts';
import { type TokenAnswer, TokenFailure } from './token-answer.ts';
import type { TokenClients } from './token-clients.ts';

export interface RefresherParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly clients: TokenClients;
  readonly dropMaterial: (credentialId: string) => void;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** A client that is refused is mended by a person: there is no hurry. */
const SETUP_PAUSE_MS = 30_000;
const FORCED_INTERVAL_MS = 60_000;
/** Longer than a call to a provider takes, by more than clocks of replicas may differ. */
const LEASE_MS = 120_000;
/** So long the database has to have been there before a refresh that somebody else began is begun again: who has its answer stores it first. */
const STEADY_MS = 15_000;

/** Why nothing can be asked for a while. */
interface Pause {
  /** Of the credential: an account that was connected again starts afresh. */
  readonly version: number | undefined;
  readonly until: number;
  readonly failures: number;
  readonly code: string;
}

export class Refresher {
  readonly #parts: RefresherParts;
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #pauses = new Map<string, Pause>();
  readonly #forcedAt = new Map<string, number>();
  /** Answers that could not be stored yet: the only copy of a token whose predecessor is used up. */
  readonly #unsaved = new Map<string, { readonly version: number; readonly answer: TokenAnswer }>();

  readonly #holder = randomUUID();
  readonly #leases = new Map<string, HeldLease>();
  #isClosing = false;

  constructor(parts: RefresherParts) {
    this.#parts = parts;
  }

  /** True when there may be a new token without a person. Paused ones too: they will be asked again. */
  mayRenew(row: CredentialRow, material: ReadonlyMap<string, Secret>): boolean {
    const oauth = row.oauth!;
    try {
      return sourceOf(oauth.flow).mayRenew({
        client: this.#parts.clients.forCredential(row, material),
        material,
        scopes: oauth.scopes,
      });
    } catch {
      // Without a client or a provider file it is tried all the same, so that the failure is told with its reason.
      return true;
    }
  }

  /** How many credentials are being renewed just now. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** False while it is being asked, or has to be left alone after a failure. */
  mayAsk(credentialId: string): boolean {
    return !this.#underWay.has(credentialId) && this.#pauseOf(credentialId) === undefined;
  }

  /** Renews in the background; failures are told to who needs the token next. */
  start(credentialId: string): void {
    this.renew(credentialId).catch(() => {});
  }

  /**
   * Resolves when the credential has a newer token than it had.
   * @throws TokenFailure the provider refused, or was asked too recently; AlterError of the vault
   */
  renew(credentialId: string): Promise<void> {
    const known = this.#underWay.get(credentialId);
    if (known !== undefined) return known;
    const pause = this.#pauseOf(credentialId);
    if (pause !== undefined) return Promise.reject(new TokenFailure('transient', pause.code));
    const version = this.#versionOf(credentialId);
    const renewal = this.#renewAlone(credentialId, version)
      .then(() => void this.#pauses.delete(credentialId))
      .catch((thrown: unknown) => {
        this.#pause(credentialId, version, thrown);
        throw thrown;
      })
      .finally(() => {
        this.#underWay.delete(credentialId);
        this.#saveSoon(credentialId);
      });
    this.#underWay.set(credentialId, renewal);
    return renewal;
  }

  /**
   * After the provider refused a token that should be good: true when there is another one now.
   * At most one such refresh for each credential in an interval, whatever the provider says to its outcome (S-103).
   */
  async renewRefused(credentialId: string, version: number): Promise<boolean> {
    const { state } = this.#parts;
    const current = (): number | undefined => this.#versionOf(credentialId);
    if (current() !== version) return current() !== undefined;
    if (!this.#underWay.has(credentialId)) {
      const last = this.#forcedAt.get(credentialId);
      if (last !== undefined && state.now() - last < FORCED_INTERVAL_MS) return false;
      this.#forcedAt.set(credentialId, state.now());
    }
    try {
      await this.renew(credentialId);
    } catch {
      return false;
    }
    return current() !== version;
  }

  /** Waits for what is under way; from here on nothing is begun by itself. */
  async settle(): Promise<void> {
    this.#isClosing = true;
    await Promise.allSettled([...this.#underWay.values()]);
  }

  #versionOf(credentialId: string): number | undefined {
    return this.#parts.state.rows.credentials.find((row) => row.id === credentialId)?.version;
  }

  /** The pause that is in force. */
  #pauseOf(credentialId: string): Pause | undefined {
    const pause = this.#pauses.get(credentialId);
    const holds = pause !== undefined && pause.until > this.#parts.state.now();
    return holds && pause.version === this.#versionOf(credentialId) ? pause : undefined;
  }

  /** An answer that could not be stored does not wait for a request: when its lease is over, somebody else asks with what is used up. */
  #saveSoon(credentialId: string): void {
    if (!this.#parts.state.isShared || !this.#unsaved.has(credentialId)) return;
    setTimeout(() => {
      if (this.#isClosing || !this.#unsaved.has(credentialId)) return;
      this.#pauses.delete(credentialId);
      this.start(credentialId);
    }, FIRST_PAUSE_MS).unref();
  }

  #pause(credentialId: string, version: number | undefined, thrown: unknown): void {
    const failure = thrown instanceof TokenFailure ? thrown : new TokenFailure('transient', toAlterError(thrown).code);
    const known = this.#pauses.get(credentialId);
    const before = known?.version === version ? (known?.failures ?? 0) : 0;
    if (asksNobody(thrown, failure)) {
      const until = this.#parts.state.now() + FIRST_PAUSE_MS;
      return void this.#pauses.set(credentialId, { version, until, failures: before, code: failure.code });
    }
    const failures = before + 1;
    const first = failure.kind === 'setup' ? SETUP_PAUSE_MS : FIRST_PAUSE_MS;
    const asked = failure.retryAfterS === null ? 0 : failure.retryAfterS * 1000;
    // What only has to be stored asks nobody.
    const isHeld = this.#unsaved.has(credentialId);
    const waitMs = isHeld ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, Math.max(first * 2 ** Math.min(failures - 1, 10), asked));
    this.#pauses.set(credentialId, { version, until: this.#parts.state.now() + waitMs, failures, code: failure.code });
  }

  /** Over a store that replicas share: once for all of them, under a lease that the new token is stored by. */
  async #renewAlone(credentialId: string, version: number | undefined): Promise<void> {
    const { state } = this.#parts;
    if (!state.isShared) return this.#renewOnce(credentialId);
    const name = `refresh:${credentialId}`;
    const fence = await state.store.acquireLease(name, this.#holder, LEASE_MS, state.now());
    if (fence === null) throw new TokenFailure('transient', 'renewed_elsewhere');
    this.#leases.set(credentialId, { name, fence });
    try {
      // SECURITY: the holder before may have used the refresh token up; what it stored has to be seen first.
      await state.refresh();
      this.#requireSteady(credentialId);
      if (this.#versionOf(credentialId) === version) await this.#renewOnce(credentialId);
      // Somebody stored something newer, or what was thought to be lost was stored.
      else this.#unsaved.delete(credentialId);
    } finally {
      this.#leases.delete(credentialId);
      // An answer that is not stored yet is known here alone: nobody else may ask before the lease ends.
      if (!this.#unsaved.has(credentialId)) await state.store.releaseLease({ name, fence }).catch(() => {});
    }
  }

  /** @throws TokenFailure while one that knows the outcome may not have had its turn */
  #requireSteady(credentialId: string): void {
    const { state } = this.#parts;
    const row = state.rows.credentials.find((each) => each.id === credentialId);
    const isBegun = (row?.oauth?.refreshBegunAt ?? null) !== null;
    if (isBegun && !this.#unsaved.has(credentialId) && state.steadyMs < STEADY_MS)
      throw new TokenFailure('transient', 'renewed_elsewhere');
  }

  async #renewOnce(credentialId: string): Promise<void> {
    const { state } = this.#parts;
    const row = this.#rowOf(credentialId);
    const kept = this.#unsaved.get(credentialId);
    if (kept !== undefined && kept.version === row.version) return this.#commit(row.version, credentialId, kept.answer);
    this.#unsaved.delete(credentialId);
    const oauth = row.oauth!;
    const sealed = await state.store.readSealed(credentialId);
    if (sealed === undefined) throw new TokenFailure('permanent', 'no_material');
    const material = this.#parts.dataKeys.open(sealed);
    const context = {
      client: this.#parts.clients.forCredential(row, material),
      material,
      scopes: oauth.scopes,
    };
    const source = sourceOf(oauth.flow);
    if (!source.mayRenew(context)) return this.#giveUp(row, 'its access token has ended and there is no refresh token');
    const wasBegun = oauth.refreshBegunAt !== null;
    if (source.isSingleUse(context) && !wasBegun) await this.#markBegun(row);
    let answer: TokenAnswer;
    try {
      answer = await source.next(context);
    } catch (thrown) {
      if (!(thrown instanceof TokenFailure) || thrown.kind !== 'permanent') throw thrown;
      const reason = wasBegun
        ? `a refresh was cut off and its outcome is lost (${thrown.code})`
        : `the provider refuses its refresh token (${thrown.code})`;
      return this.#giveUp(row, reason);
    }
    await this.#commit(row.version, credentialId, answer);
  }

  #rowOf(credentialId: string): CredentialRow {
    const row = this.#parts.state.rows.credentials.find((each) => each.id === credentialId);
    if (row?.oauth === undefined || row.oauth.state === 'revoked') throw new TokenFailure('permanent', 'gone');
    return row;
  }

  #markBegun(before: CredentialRow): Promise<void> {
    const { state } = this.#parts;
    return state.exclusive(async () => {
      const row = this.#rowOf(before.id);
      if (row.version !== before.version) throw new TokenFailure('transient', 'changed_meanwhile');
      await state.commit(
        { action: 'oauth.refresh_begun', credential: row },
        [{ put: 'credential', row: { ...row, oauth: { ...row.oauth!, refreshBegunAt: state.now() } } }],
        { lease: this.#leases.get(row.id) },
      );
    });
  }

  #commit(version: number, credentialId: string, answer: TokenAnswer): Promise<void> {
    const { state, dataKeys } = this.#parts;
    this.#unsaved.set(credentialId, { version, answer });
    return state.exclusive(async () => {
      const before = this.#rowOf(credentialId);
      // Connected again meanwhile: what that brought is newer.
      if (before.version !== version) return void this.#unsaved.delete(credentialId);
      const sealed = await state.store.readSealed(credentialId);
      if (sealed === undefined) throw new TokenFailure('permanent', 'no_material');
      const material = new Map(dataKeys.open(sealed));
      material.set('access_token', answer.accessToken);
      if (answer.refreshToken !== null) material.set('refresh_token', answer.refreshToken);
      const row: CredentialRow = {
        ...before,
        version: version + 1,
        rotatedAt: state.now(),
        oauth: { ...before.oauth!, expiresAt: answer.expiresAt, state: 'ok', reason: null, refreshBegunAt: null },
      };
      await state.commit(
        { action: 'oauth.refreshed', credential: row, details: { version: row.version, expires_at: answer.expiresAt } },
        [
          { put: 'credential', row },
          { put: 'sealed', row: dataKeys.seal(row.id, row.version, material) },
        ],
        { beforePublishing: () => this.#parts.dropMaterial(row.id), lease: this.#leases.get(row.id) },
      );
      this.#unsaved.delete(credentialId);
    });
  }

  /** Only a person can go on from here. */
  async #giveUp(before: CredentialRow, reason: string): Promise<never> {
    const { state } = this.#parts;
    await state.exclusive(async () => {
      const row = this.#rowOf(before.id);
      if (row.version !== before.version) throw new TokenFailure('transient', 'changed_meanwhile');
      await state.commit(
        { action: 'oauth.refresh_failed', credential: row, details: { reason } },
        [
          {
            put: 'credential',
            row: { ...row, oauth: { ...row.oauth!, state: 're_auth_required', reason, refreshBegunAt: null } },
          },
        ],
        { beforePublishing: () => this.#parts.dropMaterial(row.id), lease: this.#leases.get(row.id) },
      );
    });
    throw new TokenFailure('permanent', reason);
  }
}

/** Failures that no provider has anything to do with: to look again soon costs it nothing, and who waits for it waits no longer than it lasts. */
const asksNobody = (thrown: unknown, { code }: TokenFailure): boolean =>
  thrown instanceof StaleEpoch ||
  thrown instanceof LostLease ||
  ['renewed_elsewhere', 'changed_meanwhile', 'vault_unavailable', 'audit_unavailable'].includes(code);

/** The refusal of a request whose credential could not be renewed. */
export function refusalOf(
  thrown: unknown,
  grant: { readonly id: string; readonly providerId: string },
  row: CredentialRow | undefined,
): AlterError {
  if (row?.oauth?.state === 're_auth_required') return reAuthRequired(grant, row);
  // What stops everything is said as it is; the rest (no client, no provider file) are claims that an agent can't act on.
  if (thrown instanceof AlterError && (thrown.code === 'audit_unavailable' || thrown.code === 'vault_unavailable')) return thrown;
  const code =
    thrown instanceof TokenFailure ? thrown.code : toAlterError(thrown).code === 'conflict' ? 'no_client' : 'not_renewed';
  return new AlterError('credential_unavailable', {
    grant_id: grant.id,
    reason: `its access token has ended and a new one could not be had (${code})`,
  });
}

export function reAuthRequired(grant: { readonly id: string; readonly providerId: string }, row: CredentialRow): AlterError {
  const { accountName, reason } = row.oauth!;
  return new AlterError('re_auth_required', {
    grant_id: grant.id,
    provider_id: grant.providerId,
    ...(accountName === null ? {} : { account: accountName }),
    reason: reason ?? 'its tokens have ended',
  });
}
