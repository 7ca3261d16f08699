/**
 * Opened credentials, in memory: the only place where plaintext secrets live in the vault, each for as long as it is in use
 * and five idle minutes more. Keyed by version, so that a rotation is seen by the next request. What was fetched from elsewhere
 * serves for its lifetime, and is fetched anew before that ends.
 */
import type { CredentialMaterial } from '../domain/credential.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { RowsById } from '../domain/row-lists.ts';
import type { CredentialRow, SealedRow } from '../store/rows.ts';
import { isLive } from './authority.ts';
import type { LastUses } from './last-uses.ts';
import { type MadeMaterial, type MaterialMaker, roleInjectionOf } from './material-maker.ts';
import { type Refresher, reAuthRequired, refusalOf } from './oauth/refresher.ts';
import { termsOf } from './oauth/token-terms.ts';
import { SourceFailure } from './sources/source-failure.ts';
import type { VaultState } from './state.ts';

const IDLE_MS = 5 * 60_000;
const SWEEP_EVERY_MS = 60_000;
const NOTE_EVERY_MS = 1_000;

/** After a failure a source is left alone for this long: it may be a command, and requests come by the thousand. */
const RETRY_AFTER_MS = 2_000;

interface CachedMaterial extends MadeMaterial {
  /** From here on a new token is fetched, while this one serves; never for what is no token. */
  readonly dueAt: number;
  /** From here on requests wait for a new token. */
  readonly endsAt: number;
  usedAt: number;
}

interface Failed {
  readonly error: AlterError;
  readonly until: number;
}

export interface MaterialParts {
  readonly state: VaultState;
  readonly maker: MaterialMaker;
  readonly uses: LastUses;
  /** Brings new access tokens; absent where nothing is connected. */
  readonly renewal?: Pick<Refresher, 'mayRenew' | 'renew' | 'renewRefused' | 'start'>;
}

export class Materials {
  readonly #parts: MaterialParts;
  readonly #cached = new Map<string, CachedMaterial>();
  readonly #opening = new Map<string, Promise<CredentialMaterial>>();
  readonly #failed = new Map<string, Failed>();
  readonly #credentials = new RowsById<CredentialRow>();
  readonly #grants = new RowsById<Grant>();
  /** The name of the credential asked for last: nearly always the next one too. */
  #last: { readonly credential: CredentialRow | null; readonly grant: Grant | null; readonly name: string } = {
    credential: null,
    grant: null,
    name: '',
  };
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: MaterialParts) {
    this.#parts = parts;
  }

  /** @throws AlterError credential_unavailable, re_auth_required, vault_unavailable */
  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial> {
    const credential = this.#credentialOf(grant);
    const now = this.#parts.state.now();
    const isLast = credential === this.#last.credential && grant === this.#last.grant;
    const name = isLast ? this.#last.name : nameOf(grant, credential);
    const cached = this.#cached.get(name);
    const serves = cached !== undefined && now < cached.dueAt;
    if (serves && (cached.freshness === null || this.#serves(name, grant, credential, cached, now))) {
      // Once a second is exact enough for "last used", and this runs for every request.
      if (now - cached.usedAt >= NOTE_EVERY_MS) {
        cached.usedAt = now;
        this.#parts.uses.note('credential', credential.id, now);
      }
      if (!isLast) this.#last = { credential, grant, name };
      return cached.material;
    }
    this.#parts.uses.note('credential', credential.id, now);
    if (credential.oauth !== undefined) return this.#obtainToken(grant, credential, name);
    return this.#refresh(name, grant, credential, now);
  }

  /**
   * The material to try again with after the provider refused the one of this version; null when there is none.
   * @throws AlterError as obtain()
   */
  async renewRefused(grant: Grant, version: number): Promise<CredentialMaterial | null> {
    const credential = this.#credentialOf(grant);
    if (credential.oauth === undefined || this.#parts.renewal === undefined) return null;
    if (!(await this.#parts.renewal.renewRefused(credential.id, version))) return null;
    const material = await this.obtain(grant);
    return material.version === version ? null : material;
  }

  /** True while it may be used; begins its renewal in time. */
  #serves(name: string, grant: Grant, credential: CredentialRow, { freshness }: CachedMaterial, now: number): boolean {
    if (freshness === null) return true;
    if (now >= freshness.endsAt || freshness.isChanged(now)) return false;
    if (now >= freshness.renewAt) {
      try {
        this.#refresh(name, grant, credential, now).catch(() => {});
      } catch {
        // It failed a moment ago. What there is still serves.
      }
    }
    return true;
  }

  /** @throws AlterError of the failure that it had a moment ago */
  #refresh(name: string, grant: Grant, credential: CredentialRow, now: number): Promise<CredentialMaterial> {
    const failed = this.#failed.get(name);
    if (failed !== undefined && now < failed.until) throw unavailable(grant, String(failed.error.details.reason), failed.error);
    return this.#opened(name, grant, credential);
  }

  #opened(name: string, grant: Grant, credential: CredentialRow): Promise<CredentialMaterial> {
    const opening = this.#opening.get(name) ?? this.#open(name, grant, credential);
    this.#opening.set(name, opening);
    return opening;
  }

  /** The token of a connected account, renewed when it is due. */
  async #obtainToken(grant: Grant, credential: CredentialRow, name: string): Promise<CredentialMaterial> {
    if (credential.oauth?.state !== 'ok') throw reAuthRequired(grant, credential);
    if (!this.#cached.has(name)) await this.#opened(name, grant, credential);
    const cached = this.#cached.get(name);
    // Renewed by somebody else while it was being opened.
    if (cached === undefined) return this.obtain(grant);
    const { renewal, state } = this.#parts;
    if (state.now() < cached.dueAt || renewal === undefined) return cached.material;
    if (state.now() < cached.endsAt) {
      renewal.start(credential.id);
      return cached.material;
    }
    try {
      await renewal.renew(credential.id);
    } catch (thrown) {
      throw refusalOf(
        thrown,
        grant,
        state.rows.credentials.find((row) => row.id === credential.id),
      );
    }
    const current = this.#credentialOf(grant);
    if (current.version === credential.version) throw unavailable(grant, 'no new access token came');
    return this.#opened(nameOf(grant, current), grant, current);
  }

  /** Forgets what has not been used for five minutes. */
  sweep(): void {
    const limit = this.#parts.state.now() - IDLE_MS;
    for (const [name, { usedAt }] of this.#cached) if (usedAt <= limit) this.#cached.delete(name);
    if (this.#cached.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Forgets every version of a credential. */
  drop(credentialId: string): void {
    for (const kept of [this.#cached, this.#failed])
      for (const name of kept.keys()) if (name.startsWith(`${credentialId}:`)) kept.delete(name);
  }

  clear(): void {
    this.#cached.clear();
    this.sweep();
  }

  get size(): number {
    return this.#cached.size;
  }

  #credentialOf(grant: Grant): CredentialRow {
    const { state } = this.#parts;
    // SECURITY: the caller's grant may be older than a revocation (the audit row was awaited in between); only the current one counts.
    const current = this.#grants.of(state.authority.grants).get(grant.id);
    if (current === undefined || !isLive(current, state.now())) throw unavailable(grant, 'the grant is no longer active');
    const credential = this.#credentials.of(state.rows.credentials).get(current.credentialId);
    if (credential === undefined) throw unavailable(grant, 'it was removed');
    return credential;
  }

  async #made(name: string, grant: Grant, credential: CredentialRow, row: SealedRow): Promise<Omit<CachedMaterial, 'usedAt'>> {
    const { maker, renewal } = this.#parts;
    if (credential.oauth === undefined) {
      const made = await maker.make(grant, credential, row, this.#cached.get(name)?.material ?? null);
      return { ...made, ...termsOf(credential, false) };
    }
    const { material, opened } = maker.openTokens(credential, row);
    return { material, freshness: null, ...termsOf(credential, renewal?.mayRenew(credential, opened) === true) };
  }

  async #open(name: string, grant: Grant, credential: CredentialRow): Promise<CredentialMaterial> {
    const { state } = this.#parts;
    try {
      const row = await state.store.readSealed(credential.id);
      // A rotation or removal that happened meanwhile: the request fails and its retry gets the new version.
      if (row === undefined || row.version !== credential.version)
        throw unavailable(grant, 'it has just been changed; try again');
      const made = await this.#made(name, grant, credential, row);
      this.#failed.delete(name);
      this.#cached.set(name, { ...made, usedAt: state.now() });
      this.#timer ??= setInterval(() => this.sweep(), SWEEP_EVERY_MS).unref();
      return made.material;
    } catch (thrown) {
      if (thrown instanceof SourceFailure) {
        const error = unavailable(grant, `its value could not be fetched (${thrown.code})`);
        this.#failed.set(name, { error, until: state.now() + RETRY_AFTER_MS });
        throw error;
      }
      const error = toAlterError(thrown);
      throw error.code === 'vault_unavailable' ? unavailable(grant, 'its sealed value does not open', error) : error;
    } finally {
      this.#opening.delete(name);
    }
  }
}

/** A credential with a role is another material than the one without. */
function nameOf(grant: Grant, credential: CredentialRow): string {
  const role = roleInjectionOf(grant);
  return `${credential.id}:${credential.version}${role === null ? '' : `:${role.role}`}`;
}

const unavailable = (grant: Grant, reason: string, cause?: unknown): AlterError =>
  new AlterError('credential_unavailable', { grant_id: grant.id, reason }, cause === undefined ? {} : { cause });
