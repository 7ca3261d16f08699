/**
 * From a sealed row to the material that requests use: what is stored, what is fetched from its source, and what stored keys are
 * exchanged for. Must never answer with half of it.
 */
import type { CredentialMaterial, SigV4Injection } from '../domain/credential.ts';
import type { Grant } from '../domain/grant.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import { multilineFieldsOf } from '../injection/injection-parts.ts';
import type { CredentialRow, SealedRow } from '../store/rows.ts';
import type { DataKeys } from './data-keys.ts';
import { assumeRole, roleOf } from './sources/assume-role.ts';
import { type Fields, type Freshness, fetchFields, shorter } from './sources/fetched-fields.ts';
import { SourceFailure } from './sources/source-failure.ts';

export interface MadeMaterial {
  readonly material: CredentialMaterial;
  /** null: good for as long as the row is. */
  readonly freshness: Freshness | null;
}

const roles = new WeakMap<Grant, SigV4Injection | null>();

/** The grant's injection that may name a role; null when it has none. */
export function roleInjectionOf(grant: Grant): SigV4Injection | null {
  let found = roles.get(grant);
  if (found === undefined) {
    found = grant.injections.find((each): each is SigV4Injection => each.in === 'sigv4' && (each.role ?? '') !== '') ?? null;
    roles.set(grant, found);
  }
  return found;
}

export class MaterialMaker {
  readonly #dataKeys: DataKeys;
  readonly #call: HttpsCall | null;
  readonly #now: () => number;
  #revision = 0;

  /** @param call the daemon's way out; null where there is none */
  constructor(dataKeys: DataKeys, call: HttpsCall | null, now: () => number) {
    this.#dataKeys = dataKeys;
    this.#call = call;
    this.#now = now;
  }

  /**
   * @param before what served until now: it goes on serving when nothing has changed, so that nothing is rendered anew
   * @throws AlterError vault_unavailable; SourceFailure
   */
  async make(grant: Grant, row: CredentialRow, sealed: SealedRow, before: CredentialMaterial | null): Promise<MadeMaterial> {
    let fields: Fields = this.#dataKeys.open(sealed);
    let freshness: Freshness | null = null;
    if (row.sources !== undefined) {
      const multiline = multilineFieldsOf(grant.injections);
      ({ fields, freshness } = await fetchFields(fields, row.sources, { call: this.#call, now: this.#now, multiline }));
    }
    const injection = roleInjectionOf(grant);
    const role = injection === null ? null : roleOf(injection, fields);
    if (injection !== null && role !== null) {
      if (this.#call === null) throw new SourceFailure('role_unreachable');
      const assumed = await assumeRole(role, injection, fields, this.#call, this.#now());
      fields = assumed.fields;
      freshness = freshness === null ? assumed.freshness : shorter(freshness, assumed.freshness);
    }
    const publicFields = new Set(Object.keys(row.publicFields));
    const plain = { credentialId: row.id, version: row.version, fields, publicFields };
    if (freshness === null) return { material: plain, freshness };
    if (before !== null && before.version === row.version && isSame(before.fields, fields))
      return { material: before, freshness };
    return { material: { ...plain, revision: ++this.#revision }, freshness };
  }

  /**
   * The tokens of a connected account. `opened` is everything that is stored of it, for the vault's own calls.
   * @throws AlterError vault_unavailable
   */
  openTokens(row: CredentialRow, sealed: SealedRow): { readonly material: CredentialMaterial; readonly opened: Fields } {
    const opened = this.#dataKeys.open(sealed);
    const publicFields = new Set(Object.keys(row.publicFields));
    const fields = tokensOf(opened, publicFields);
    return { material: { credentialId: row.id, version: row.version, fields, publicFields }, opened };
  }
}

/** SECURITY: private keys and stored subjects are for the vault's own calls; no request ever needs them. */
const tokensOf = (opened: Fields, publicFields: ReadonlySet<string>): Fields =>
  new Map([...opened].filter(([name]) => name === 'access_token' || name === 'refresh_token' || publicFields.has(name)));

const isSame = (a: Fields, b: Fields): boolean =>
  a.size === b.size && [...a].every(([name, value]) => b.get(name)?.reveal() === value.reveal());
