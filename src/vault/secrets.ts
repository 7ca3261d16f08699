/**
 * Secrets: stored, rotated, removed. Write-only: nothing here answers a value that was marked secret.
 */
import { randomUUID } from 'node:crypto';
import type { CredentialInfo } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import type { CredentialRow, StoreChange } from '../store/rows.ts';
import { credentialInfoOf, isLive } from './authority.ts';
import type { DataKeys } from './data-keys.ts';
import type { LastUses } from './last-uses.ts';
import type { Materials } from './materials.ts';
import { requireNone, slugProblem } from './names.ts';
import type { TokenEndings } from './oauth/token-endings.ts';
import type { ProviderSource } from './provider-source.ts';
import { checkNewSecret, fieldProblems, type NewSecret, withOptionalFields } from './secret-input.ts';
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

  create(asked: NewSecret): Promise<CredentialInfo> {
    const { state, dataKeys, catalogue } = this.#parts;
    return state.exclusive(async () => {
      const input = { ...asked, fields: withOptionalFields(asked.fields, catalogue.find(asked.providerId)) };
      const { secret, problems } = checkNewSecret(input, catalogue.find(input.providerId), this.#placeholders());
      requireNone([input.name === undefined ? undefined : slugProblem('name', input.name), ...problems]);
      if (input.name !== undefined && this.#isTaken(input.name)) {
        throw new AlterError('conflict', {
          reason: `There is a secret "${input.name}" already`,
          hint: `Choose another name, or give it a new value: \`alterd secret rotate ${input.name}\`.`,
        });
      }
      const row: CredentialRow = {
        ...secret,
        id: randomUUID(),
        name: input.name ?? this.#freeName(secret.providerId),
        version: 1,
        createdAt: state.now(),
        rotatedAt: null,
        lastUsedAt: null,
      };
      await state.commit({ action: 'secret.created', credential: row }, [
        { put: 'credential', row },
        { put: 'sealed', row: dataKeys.seal(row.id, row.version, inOrder(row.fieldNames, input.fields)) },
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
      const kept = fixed.map(([name, value]) => [name, new Secret(value)] as const);
      const all = withOptionalFields(new Map([...kept, ...fields]), provider);
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
          { put: 'sealed', row: dataKeys.seal(row.id, row.version, inOrder(row.fieldNames, all)) },
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

  #infoOf(row: CredentialRow): CredentialInfo {
    return { ...credentialInfoOf(row), lastUsedAt: this.#parts.uses.latest('credential', row.id, row.lastUsedAt) };
  }

  #placeholders(): string[] {
    return this.#parts.state.rows.grants.flatMap((grant) => grant.placeholder ?? []);
  }

  #isTaken(name: string): boolean {
    return this.#parts.state.rows.credentials.some((row) => row.name === name);
  }

  #freeName(slug: string): string {
    if (!this.#isTaken(slug)) return slug;
    for (let n = 2; ; n++) if (!this.#isTaken(`${slug}-${n}`)) return `${slug}-${n}`;
  }
}

const inOrder = (names: readonly string[], fields: ReadonlyMap<string, Secret>): ReadonlyMap<string, Secret> =>
  new Map(names.map((name) => [name, fields.get(name)!]));

/** @throws AlterError not_found */
export function findCredential(state: VaultState, nameOrId: string): CredentialRow {
  const { credentials } = state.rows;
  const found = credentials.find((row) => row.id === nameOrId) ?? credentials.find((row) => row.name === nameOrId);
  if (!found) throw new AlterError('not_found', { what: 'secret', name: nameOrId, list_command: 'alterd secret list' });
  return found;
}
