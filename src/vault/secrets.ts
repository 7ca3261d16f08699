/**
 * Secrets: stored, rotated, removed. Write-only: nothing here answers a value that was marked secret.
 */
import { randomUUID } from 'node:crypto';
import type { CredentialInfo, FieldSources, Injection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import { Secret } from '../domain/secret.ts';
import { multilineFieldsOf } from '../injection/injection-parts.ts';
import type { CredentialRow, StoreChange } from '../store/rows.ts';
import { credentialInfoOf, isLive } from './authority.ts';
import type { DataKeys } from './data-keys.ts';
import type { LastUses } from './last-uses.ts';
import type { Materials } from './materials.ts';
import { requireNone, secretNameIsTaken, slugProblem } from './names.ts';
import type { TokenEndings } from './oauth/token-endings.ts';
import type { ProviderSource } from './provider-source.ts';
import { checkNewSecret, fieldProblems, type NewSecret, withOptionalFields } from './secret-input.ts';
import { fetchFields } from './sources/fetched-fields.ts';
import { sourceProblems } from './sources/source.ts';
import { SourceFailure } from './sources/source-failure.ts';
import type { VaultState } from './state.ts';

export interface VaultSecrets {
  list(): CredentialInfo[];
  /** @throws AlterError not_found */
  find(nameOrId: string): CredentialInfo;
  /** The values of fields that are no secret (a site, an account id): agents' variables may show them. @throws AlterError not_found */
  publicFields(nameOrId: string): ReadonlyMap<string, string>;
  /** @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable */
  create(input: NewSecret): Promise<CredentialInfo>;
  /** Fields that are no secret may be left out; they can't change. @throws AlterError not_found, invalid_input, audit_unavailable, vault_unavailable */
  rotate(nameOrId: string, fields: ReadonlyMap<string, Secret>): Promise<CredentialInfo>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  remove(nameOrId: string, options?: { readonly cascade?: boolean | undefined }): Promise<void>;
}

export interface SecretParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly materials: Materials;
  readonly uses: LastUses;
  readonly catalogue: ProviderSource;
  readonly endings: TokenEndings;
  readonly call: HttpsCall | null;
}

export class EmbeddedSecrets implements VaultSecrets {
  readonly #parts: SecretParts;

  constructor(parts: SecretParts) {
    this.#parts = parts;
  }

  list(): CredentialInfo[] {
    return this.#parts.state.rows.credentials.map((row) => this.#infoOf(row));
  }

  find(nameOrId: string): CredentialInfo {
    return this.#infoOf(findCredential(this.#parts.state, nameOrId));
  }

  publicFields(nameOrId: string): ReadonlyMap<string, string> {
    return new Map(Object.entries(findCredential(this.#parts.state, nameOrId).publicFields));
  }

  async create(asked: NewSecret): Promise<CredentialInfo> {
    const { state, dataKeys, catalogue } = this.#parts;
    // Before anything else waits: a source that does not work, or what it gives, is told when it is named.
    const fetched = await this.#fetched(asked);
    return state.exclusive(async () => {
      const input = { ...asked, fields: withOptionalFields(fetched, catalogue.find(asked.providerId)) };
      const { secret, problems } = checkNewSecret(input, catalogue.find(input.providerId), this.#placeholders());
      requireNone([input.name === undefined ? undefined : slugProblem('name', input.name), ...problems]);
      // Never under a name that nobody asked for: "the secret of that provider" would mean neither from then on.
      const name = input.name ?? secret.providerId;
      const taken = state.rows.credentials.find((row) => row.name === name);
      if (taken !== undefined) throw secretNameIsTaken({ ...taken, isAccount: taken.oauth !== undefined });
      const row: CredentialRow = {
        ...secret,
        id: randomUUID(),
        name,
        version: 1,
        createdAt: state.now(),
        rotatedAt: null,
        lastUsedAt: null,
      };
      await state.commit({ action: 'secret.created', credential: row }, [
        { put: 'credential', row },
        { put: 'sealed', row: dataKeys.seal(row.id, row.version, stored(row, input.fields)) },
      ]);
      return this.#infoOf(row);
    });
  }

  rotate(nameOrId: string, fields: ReadonlyMap<string, Secret>): Promise<CredentialInfo> {
    const { state, dataKeys, materials, catalogue } = this.#parts;
    return state.exclusive(async () => {
      const before = findCredential(state, nameOrId);
      if (before.oauth !== undefined) {
        throw new AlterError('conflict', {
          reason: `"${before.name}" is a connected account; its tokens come from the provider`,
          hint: `Connect it again: \`alterd connect ${before.providerId}\`.`,
        });
      }
      const fixed = Object.entries(before.publicFields);
      const provider = catalogue.find(before.providerId);
      const fetchedNames = Object.keys(before.sources?.fields ?? {});
      const rotated = fetchedNames.filter((name) => fields.has(name));
      requireNone(rotated.map((name) => `fields.${name}: comes from ${before.sources?.fields[name]}; change it there`));
      const fetched = before.sources === undefined ? fields : await this.#fetchedFields(fields, before.sources, null);
      const kept = fixed.map(([name, value]) => [name, new Secret(value)] as const);
      const all = withOptionalFields(new Map([...kept, ...fetched]), provider);
      requireNone([
        // Grants point to hosts that were made from these values.
        ...fixed.map(([name, value]) =>
          all.get(name)?.reveal() === value ? undefined : `fields.${name}: can't change; store a new secret instead`,
        ),
        ...fieldProblems(all, before.fieldNames, provider, this.#placeholders(), before.injections),
      ]);
      const row: CredentialRow = { ...before, version: before.version + 1, rotatedAt: state.now() };
      await state.commit(
        { action: 'secret.rotated', credential: row, details: { version: row.version } },
        [
          { put: 'credential', row },
          { put: 'sealed', row: dataKeys.seal(row.id, row.version, stored(row, all)) },
        ],
        { beforePublishing: () => materials.drop(row.id) },
      );
      return this.#infoOf(row);
    });
  }

  remove(nameOrId: string, options: { readonly cascade?: boolean | undefined } = {}): Promise<void> {
    const { state, materials, endings } = this.#parts;
    return state.exclusive(async () => {
      const row = findCredential(state, nameOrId);
      const grants = state.rows.grants.filter((grant) => grant.credentialId === row.id);
      const active = grants.filter((grant) => isLive(grant, state.now()));
      if (active.length > 0 && options.cascade !== true) {
        throw new AlterError('conflict', {
          reason: `${active.length === 1 ? 'An active grant uses' : `${active.length} active grants use`} the secret "${row.name}"`,
          hint: 'Revoke them first (`alterd grant list`), or repeat with --cascade.',
        });
      }
      const changes: StoreChange[] = [
        ...grants.map((grant) => ({ remove: 'grant', id: grant.id }) as const),
        { remove: 'credential', id: row.id },
      ];
      const ending = await endings.ofRemoved(row);
      await state.commit({ action: 'secret.removed', credential: row, details: { grants: grants.length } }, changes, {
        beforePublishing: () => materials.drop(row.id),
      });
      ending.afterwards();
    });
  }

  async #fetched(input: NewSecret): Promise<ReadonlyMap<string, Secret>> {
    if (input.sources === undefined) return input.fields;
    const provider = this.#parts.catalogue.find(input.providerId);
    const names = provider?.fields.map((field) => field.name) ?? [...input.fields.keys(), ...Object.keys(input.sources.fields)];
    requireNone([
      ...sourceProblems(input.sources, names),
      ...Object.keys(input.sources.fields).map((name) =>
        input.fields.has(name) ? `fields.${name}: has a value and a source; give one of them` : undefined,
      ),
    ]);
    return this.#fetchedFields(input.fields, input.sources, input.injections ?? provider?.inject ?? null);
  }

  /** @throws AlterError invalid_input */
  async #fetchedFields(
    fields: ReadonlyMap<string, Secret>,
    sources: FieldSources,
    injections: readonly Injection[] | null,
  ): Promise<ReadonlyMap<string, Secret>> {
    const { state, call } = this.#parts;
    try {
      const parts = { call, now: state.now, multiline: multilineFieldsOf(injections ?? []) };
      return (await fetchFields(fields, sources, parts)).fields;
    } catch (thrown) {
      if (!(thrown instanceof SourceFailure)) throw thrown;
      throw new AlterError('invalid_input', { problems: [`sources: the value can't be fetched (${thrown.code})`] });
    }
  }

  #infoOf(row: CredentialRow): CredentialInfo {
    return { ...credentialInfoOf(row), lastUsedAt: this.#parts.uses.latest('credential', row.id, row.lastUsedAt) };
  }

  #placeholders(): string[] {
    return this.#parts.state.rows.grants.flatMap((grant) => grant.placeholder ?? []);
  }
}

/** What is sealed, in order: nothing of what is fetched. */
const stored = (row: CredentialRow, fields: ReadonlyMap<string, Secret>): ReadonlyMap<string, Secret> =>
  new Map(row.fieldNames.map((name) => [name, row.sources?.fields[name] === undefined ? fields.get(name)! : new Secret('')]));

/** @throws AlterError not_found */
export function findCredential(state: VaultState, nameOrId: string): CredentialRow {
  const { credentials } = state.rows;
  const found = credentials.find((row) => row.id === nameOrId) ?? credentials.find((row) => row.name === nameOrId);
  if (!found) throw new AlterError('not_found', { what: 'secret', name: nameOrId, list_command: 'alterd secret list' });
  return found;
}
