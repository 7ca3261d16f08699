/**
 * Opened credentials, in memory: the only place where plaintext secrets live in the vault, each for as long as it is in use
 * and five idle minutes more. Keyed by version, so that a rotation is seen by the next request.
 */
import type { CredentialMaterial } from '../domain/credential.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { CredentialRow } from '../store/rows.ts';
import { isLive } from './authority.ts';
import type { DataKeys } from './data-keys.ts';
import type { LastUses } from './last-uses.ts';
import type { VaultState } from './state.ts';

const IDLE_MS = 5 * 60_000;
const SWEEP_EVERY_MS = 60_000;
const NOTE_EVERY_MS = 1_000;

interface CachedMaterial {
  readonly material: CredentialMaterial;
  usedAt: number;
}

export interface MaterialParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly uses: LastUses;
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

  /** @throws AlterError credential_unavailable, vault_unavailable */
  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial> {
    const credential = this.#credentialOf(grant);
    const now = this.#parts.state.now();
    const name = credential === this.#last.credential ? this.#last.name : `${credential.id}:${credential.version}`;
    const cached = this.#cached.get(name);
    if (cached !== undefined) {
      // Once a second is exact enough for "last used", and this runs for every request.
      if (now - cached.usedAt >= NOTE_EVERY_MS) {
        cached.usedAt = now;
        this.#parts.uses.note('credential', credential.id, now);
      }
      if (credential !== this.#last.credential) this.#last = { credential, name };
      return cached.material;
    }
    this.#parts.uses.note('credential', credential.id, now);
    const opening = this.#opening.get(name) ?? this.#open(name, grant, credential);
    this.#opening.set(name, opening);
    return opening;
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
      const material = { credentialId: credential.id, version: row.version, fields: dataKeys.open(row), publicFields };
      this.#cached.set(name, { material, usedAt: state.now() });
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

const unavailable = (grant: Grant, reason: string, cause?: unknown): AlterError =>
  new AlterError('credential_unavailable', { grant_id: grant.id, reason }, cause === undefined ? {} : { cause });
