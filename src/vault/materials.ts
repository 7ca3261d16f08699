/**
 * Opened credentials, in memory: the only place where plaintext secrets live in the vault, each for as long as it is in use
 * and five idle minutes more. Keyed by version, so that a rotation is seen by the next request.
 */
import type { CredentialMaterial } from '../domain/credential.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { Secret } from '../domain/secret.ts';
import type { CredentialRow } from '../store/rows.ts';
import { isLive } from './authority.ts';
import type { DataKeys } from './data-keys.ts';
import type { LastUses } from './last-uses.ts';
import { type Refresher, reAuthRequired, refusalOf } from './oauth/refresher.ts';
import { termsOf } from './oauth/token-terms.ts';
import type { VaultState } from './state.ts';

const IDLE_MS = 5 * 60_000;
const SWEEP_EVERY_MS = 60_000;
const NOTE_EVERY_MS = 1_000;

interface CachedMaterial {
  readonly material: CredentialMaterial;
  /** From here on a new token is fetched, while this one serves; never for a secret that is stored as it is. */
  readonly dueAt: number;
  /** From here on requests wait for a new token. */
  readonly endsAt: number;
  usedAt: number;
}

export interface MaterialParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly uses: LastUses;
  /** Brings new access tokens; absent where nothing is connected. */
  readonly renewal?: Pick<Refresher, 'mayRenew' | 'renew' | 'renewRefused' | 'start'>;
}

export class Materials {
  readonly #parts: MaterialParts;
  readonly #cached = new Map<string, CachedMaterial>();
  readonly #opening = new Map<string, Promise<CredentialMaterial>>();
  #credentials: ReadonlyMap<string, CredentialRow> = new Map();
  #grants: ReadonlyMap<string, Grant> = new Map();
  #indexedVersion = -1;
  /** The name of the credential asked for last: nearly always the next one too. */
  #last: { readonly credential: CredentialRow | null; readonly name: string } = { credential: null, name: '' };
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: MaterialParts) {
    this.#parts = parts;
  }

  /** @throws AlterError credential_unavailable, re_auth_required, vault_unavailable */
  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial> {
    const credential = this.#credentialOf(grant);
    const now = this.#parts.state.now();
    const name = credential === this.#last.credential ? this.#last.name : `${credential.id}:${credential.version}`;
    const cached = this.#cached.get(name);
    if (cached !== undefined && now < cached.dueAt) {
      // Once a second is exact enough for "last used", and this runs for every request.
      if (now - cached.usedAt >= NOTE_EVERY_MS) {
        cached.usedAt = now;
        this.#parts.uses.note('credential', credential.id, now);
      }
      if (credential !== this.#last.credential) this.#last = { credential, name };
      return cached.material;
    }
    this.#parts.uses.note('credential', credential.id, now);
    if (credential.oauth !== undefined) return this.#obtainToken(grant, credential, name);
    return this.#opened(name, grant, credential);
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
    return this.#opened(`${current.id}:${current.version}`, grant, current);
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
    for (const name of this.#cached.keys()) if (name.startsWith(`${credentialId}:`)) this.#cached.delete(name);
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
    if (this.#indexedVersion !== state.authority.version) {
      this.#credentials = new Map(state.rows.credentials.map((row) => [row.id, row]));
      this.#grants = new Map(state.authority.grants.map((each) => [each.id, each]));
      this.#indexedVersion = state.authority.version;
    }
    // SECURITY: the caller's grant may be older than a revocation (the audit row was awaited in between); only the current one counts.
    const current = this.#grants.get(grant.id);
    if (current === undefined || !isLive(current, state.now())) throw unavailable(grant, 'the grant is no longer active');
    const credential = this.#credentials.get(current.credentialId);
    if (credential === undefined) throw unavailable(grant, 'it was removed');
    return credential;
  }

  async #open(name: string, grant: Grant, credential: CredentialRow): Promise<CredentialMaterial> {
    try {
      const { state, dataKeys } = this.#parts;
      const row = await state.store.readSealed(credential.id);
      // A rotation or removal that happened meanwhile: the request fails and its retry gets the new version.
      if (row === undefined || row.version !== credential.version)
        throw unavailable(grant, 'it has just been changed; try again');
      const publicFields = new Set(Object.keys(credential.publicFields));
      const opened = dataKeys.open(row);
      const fields = credential.oauth === undefined ? opened : tokensOf(opened, publicFields);
      const material = { credentialId: credential.id, version: row.version, fields, publicFields };
      const mayRenew = credential.oauth !== undefined && this.#parts.renewal?.mayRenew(credential, opened) === true;
      this.#cached.set(name, { material, ...termsOf(credential, mayRenew), usedAt: state.now() });
      this.#timer ??= setInterval(() => this.sweep(), SWEEP_EVERY_MS).unref();
      return material;
    } catch (thrown) {
      const error = toAlterError(thrown);
      throw error.code === 'vault_unavailable' ? unavailable(grant, 'its sealed value does not open', error) : error;
    } finally {
      this.#opening.delete(name);
    }
  }
}

/** SECURITY: private keys and stored subjects are for the vault's own calls; no request ever needs them. */
const tokensOf = (opened: ReadonlyMap<string, Secret>, publicFields: ReadonlySet<string>): ReadonlyMap<string, Secret> =>
  new Map([...opened].filter(([name]) => name === 'access_token' || name === 'refresh_token' || publicFields.has(name)));

const unavailable = (grant: Grant, reason: string, cause?: unknown): AlterError =>
  new AlterError('credential_unavailable', { grant_id: grant.id, reason }, cause === undefined ? {} : { cause });
