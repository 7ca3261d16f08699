/**
 * Moving what is in a vault: an export as one file that a passphrase opens, and its import into another vault in one change.
 * SECURITY: the only place where material of many credentials is together in the clear, as bytes that are zeroed; it leaves sealed.
 */
import { createHash, randomUUID } from 'node:crypto';
import { openWithPassphrase, sealWithPassphrase } from '../../crypto/passphrase-seal.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Secret } from '../../domain/secret.ts';
import type { CredentialRow, PolicyRow, StoreChange } from '../../store/rows.ts';
import type { DataKeys } from '../data-keys.ts';
import { requireNone } from '../names.ts';
import type { EmbeddedPolicies } from '../policies.ts';
import type { ProviderSource } from '../provider-source.ts';
import type { VaultState } from '../state.ts';
import { documentBytes, EXPORT_KIND, type MovedRows, type MovedVault, ROW_KINDS, readDocument } from './document.ts';
import { type ImportPlan, parentsFirst, planImport } from './plan.ts';
import { ruleProblems } from './rules.ts';

/** A connected account as an export found it. */
export interface MovedAccount {
  readonly id: string;
  readonly name: string;
  readonly providerId: string;
  readonly version: number;
  /** A refresh was under way, or cut off: its token may be used up. */
  readonly isBegun: boolean;
}

export type MovedCounts = Readonly<Record<keyof MovedRows | 'clients', number>>;

export interface VaultExport {
  readonly id: string;
  /** Sealed. */
  readonly file: Buffer;
  readonly counts: MovedCounts;
  /** Whose tokens are in two places now. */
  readonly accounts: readonly MovedAccount[];
  /** Secrets whose value is fetched by a reference, which has to lead somewhere at the new place as well. */
  readonly references: readonly string[];
  readonly policyFiles: readonly string[];
  readonly providerFiles: readonly string[];
}

export interface ImportReport {
  /** Of the export. */
  readonly id: string;
  /** When it was made. Epoch milliseconds. */
  readonly exportedAt: number;
  /** `imported` · `unchanged`: all of it is here already · `before`: this very file was imported earlier · `planned`, `conflict`: only looked. */
  readonly outcome: 'imported' | 'unchanged' | 'before' | 'planned' | 'conflict';
  readonly added: MovedCounts;
  readonly unchanged: MovedCounts;
  readonly conflicts: readonly string[];
  /** Agents that came, by name. */
  readonly agents: readonly string[];
  /** Provider files of the source that are not here. */
  readonly missingProviders: readonly string[];
  readonly references: readonly string[];
  /** Accounts that came with their tokens. */
  readonly accounts: readonly string[];
}

export interface ExportRequest {
  readonly passphrase: Secret;
  /** Slugs of the operator's own provider files. */
  readonly providerFiles: readonly string[];
  /** Less for tests. */
  readonly costLog2?: number | undefined;
}

export interface ImportOptions {
  readonly dryRun: boolean;
  /** The operator has seen where values will be fetched from on this machine: commands, files, variables, servers. */
  readonly allowReferences: boolean;
}

export interface VaultTransfer {
  /** @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable */
  exportAll(request: ExportRequest): Promise<VaultExport>;
  /**
   * Marks accounts as moved: nothing here uses or renews them again. All or none, and only while they are as they were exported.
   * @throws AlterError conflict when one was renewed since, audit_unavailable, vault_unavailable
   */
  retire(exportId: string, accounts: readonly Pick<MovedAccount, 'id' | 'version'>[]): Promise<number>;
  /** @throws AlterError sealed_file_refused, import_conflict, invalid_input, audit_unavailable, vault_unavailable */
  importAll(file: Uint8Array, passphrase: Secret, options: ImportOptions): Promise<ImportReport>;
}

export interface TransferParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly policies: EmbeddedPolicies;
  readonly catalogue: ProviderSource;
  readonly dropMaterial: (credentialId: string) => void;
  /** Waits for renewals that are under way. */
  readonly settle: () => Promise<void>;
}

const MIN_PASSPHRASE = 12;
const IMPORT_NAME = 'import:';

export class EmbeddedTransfer implements VaultTransfer {
  readonly #parts: TransferParts;

  constructor(parts: TransferParts) {
    this.#parts = parts;
  }

  async exportAll({ passphrase, providerFiles, costLog2 }: ExportRequest): Promise<VaultExport> {
    requireNone([
      passphrase.length >= MIN_PASSPHRASE
        ? undefined
        : `the passphrase has fewer than ${MIN_PASSPHRASE} characters, and the file holds every secret of the vault`,
    ]);
    const { state, settle } = this.#parts;
    // A token that a provider is about to answer with would be missing.
    await settle();
    const moved = await state.exclusive(async () => {
      const all = await this.#collect(providerFiles);
      const { agents, credentials, grants } = all;
      const details = { export_id: all.id, agents: agents.length, secrets: credentials.length, grants: grants.length };
      await state.commitInMemory({ action: 'vault.exported', details }, () => {});
      return all;
    });
    const bytes = documentBytes(moved);
    try {
      const file = await sealWithPassphrase(bytes, passphrase, { kind: EXPORT_KIND, now: moved.createdAt, costLog2 });
      const { id, policyFiles } = moved;
      const accounts = moved.credentials.flatMap((row) => accountOf(row) ?? []);
      return {
        ...{ id, file, counts: countsOf(moved, moved.clients.length), accounts, providerFiles },
        references: referencesOf(moved.credentials),
        policyFiles: policyFiles.map(({ place }) => place),
      };
    } finally {
      bytes.fill(0);
    }
  }

  retire(exportId: string, accounts: readonly Pick<MovedAccount, 'id' | 'version'>[]): Promise<number> {
    const { state, dropMaterial } = this.#parts;
    return state.exclusive(async () => {
      const changes: StoreChange[] = [];
      for (const { id, version } of accounts) {
        const row = state.rows.credentials.find((each) => each.id === id);
        const sealed = await state.store.readSealed(id);
        // SECURITY: a token that was renewed, or is being renewed, after it was exported is in no file: to give it up would lose it.
        if (row?.oauth?.state !== 'ok' || row.version !== version || row.oauth.refreshBegunAt !== null || sealed === undefined)
          throw renewedSince(row?.name ?? id);
        // The version rises, so that an answer that is on its way is not stored over this.
        const reason = `its tokens were moved to another vault (export ${exportId.slice(0, 8)})`;
        const next = { ...row, version: version + 1, oauth: { ...row.oauth, state: 're_auth_required' as const, reason } };
        changes.push(
          { put: 'credential', row: next },
          // SECURITY: what is left here would be read by whoever gets this master key, and revoked at the provider with the last grant.
          { remove: 'sealed', id },
        );
      }
      if (accounts.length === 0) return 0;
      const details = { export_id: exportId, accounts: accounts.length };
      await state.commit({ action: 'oauth.moved', details }, changes, {
        beforePublishing: () => {
          for (const { id } of accounts) dropMaterial(id);
        },
      });
      return accounts.length;
    });
  }

  async importAll(file: Uint8Array, passphrase: Secret, options: ImportOptions): Promise<ImportReport> {
    const bytes = await openWithPassphrase(file, passphrase, EXPORT_KIND);
    let moved: MovedVault;
    try {
      moved = await this.#withPolicyFiles(readDocument(bytes));
    } finally {
      bytes.fill(0);
    }
    return this.#parts.state.exclusive(() => this.#import(moved, options));
  }

  /** Inside exclusive(). */
  async #import(moved: MovedVault, { dryRun, allowReferences }: ImportOptions): Promise<ImportReport> {
    const { state, catalogue } = this.#parts;
    const plan = planImport(moved, state.rows, this.#policyFileNames());
    const clients = this.#planClients(moved);
    const conflicts = [...plan.conflicts, ...(await this.#materialConflicts(moved, plan)), ...clients.conflicts];
    const added = countsOf(plan.added, clients.added.length);
    const report = (outcome: ImportReport['outcome']): ImportReport => ({
      ...{ id: moved.id, exportedAt: moved.createdAt, outcome, added, conflicts },
      unchanged: { ...plan.unchanged, clients: clients.unchanged },
      agents: plan.added.agents.map(({ name }) => name),
      missingProviders: moved.providerFiles.filter((slug) => catalogue.find(slug) === undefined),
      references: referencesOf(plan.added.credentials),
      accounts: plan.added.credentials.flatMap((row) => accountOf(row)?.name ?? []),
    });
    // What was changed or removed here since then is meant to be so.
    if (state.rows.meta.has(IMPORT_NAME + moved.id)) return report('before');
    if (conflicts.length > 0) {
      if (dryRun) return report('conflict');
      throw new AlterError('import_conflict', { problems: conflicts });
    }
    if (Object.values(added).every((count) => count === 0)) return report('unchanged');
    // SECURITY: what is forwarded, injected and scrubbed by relies on what these rules keep out.
    requireNone(
      ruleProblems(
        plan.added,
        moved,
        state.rows.grants.flatMap(({ placeholder }) => placeholder ?? []),
      ),
    );
    const policies = await this.#parts.policies.prepareAdded(plan.added.policies);
    const planned = report('planned');
    if (dryRun) return planned;
    // SECURITY: a file says what this machine is to run and to read: a person looks at it first.
    if (planned.references.length > 0 && !allowReferences) throw unseenReferences(planned.references);
    const { clients: _clients, ...counts } = added;
    await state.commit(
      { action: 'vault.imported', details: { export_id: moved.id, ...counts, provider_clients: added.clients } },
      [
        ...this.#rowChanges(moved, plan.added),
        ...clients.added,
        ...policies.changes,
        { put: 'meta', name: IMPORT_NAME + moved.id, value: new Date(state.now()).toISOString() },
      ],
      // SECURITY: before the grants are: rules that restrict them at the source must never be missing here.
      { beforePublishing: policies.publish },
    );
    return report('imported');
  }

  async #collect(providerFiles: readonly string[]): Promise<MovedVault> {
    const { state, dataKeys, policies } = this.#parts;
    const { rows } = state;
    const sealed = new Map((await state.store.listSealed()).map((row) => [row.credentialId, row]));
    const material = new Map<string, ReadonlyMap<string, Secret>>();
    for (const { id, version } of rows.credentials) {
      const row = sealed.get(id);
      if (row === undefined) continue;
      if (row.version !== version)
        throw new AlterError('conflict', { reason: 'The vault was changed by somebody else', hint: 'Try again.' });
      material.set(id, dataKeys.open(row));
    }
    const { agents, keys, credentials, users, grants, delegations, permits, policies: stored } = rows;
    return {
      ...{ agents, keys, credentials, users, grants, delegations, permits, policies: stored, material, providerFiles },
      ...{ id: randomUUID(), createdAt: state.now() },
      clients: rows.providerClients.map((row) => ({
        ...{ id: row.id, providerId: row.providerId, clientId: row.clientId, version: row.version, createdAt: row.createdAt },
        secret: dataKeys.openClient(row),
      })),
      policyFiles: policies.version().sources.filter(({ origin }) => origin === 'file'),
    };
  }

  #rowChanges(moved: MovedVault, added: MovedRows): StoreChange[] {
    const { dataKeys } = this.#parts;
    const sealed = added.credentials.flatMap(({ id, version }): StoreChange[] => {
      const fields = moved.material.get(id);
      return fields === undefined ? [] : [{ put: 'sealed', row: dataKeys.seal(id, version, fields) }];
    });
    return [
      ...parentsFirst(added.agents, (row) => row.parentId).map((row) => ({ put: 'agent', row }) as const),
      ...parentsFirst(added.keys, (row) => row.parentKeyId).map((row) => ({ put: 'key', row }) as const),
      ...added.users.map((row) => ({ put: 'user', row }) as const),
      ...added.credentials.map((row) => ({ put: 'credential', row }) as const),
      ...sealed,
      ...added.grants.map((row) => ({ put: 'grant', row }) as const),
      ...added.delegations.map((row) => ({ put: 'delegation', row }) as const),
      ...added.permits.map((row) => ({ put: 'permit', row }) as const),
    ];
  }

  /** Rows that are alike can have material that is not. */
  async #materialConflicts(moved: MovedVault, { added }: ImportPlan): Promise<string[]> {
    const { state, dataKeys } = this.#parts;
    const news = new Set(added.credentials.map(({ id }) => id));
    const found: string[] = [];
    for (const row of moved.credentials) {
      const here = state.rows.credentials.find((each) => each.id === row.id);
      if (news.has(row.id) || here === undefined || here.version !== row.version) continue;
      const sealed = await state.store.readSealed(row.id);
      const [a, b] = [sealed === undefined ? undefined : dataKeys.open(sealed), moved.material.get(row.id)];
      if (!isSameMaterial(a, b)) found.push(`secret ${row.name}: its value is another one here`);
    }
    return found;
  }

  #planClients({ clients }: MovedVault): { added: StoreChange[]; unchanged: number; conflicts: string[] } {
    const { state, dataKeys } = this.#parts;
    const added: StoreChange[] = [];
    const conflicts: string[] = [];
    for (const { id, providerId, clientId, version, createdAt, secret } of clients) {
      const here = state.rows.providerClients.find((row) => row.providerId === providerId);
      if (here === undefined) {
        const row = { id, providerId, clientId, version, createdAt, ...dataKeys.sealClient(id, version, secret) };
        added.push({ put: 'provider_client', row });
      } else if (here.clientId !== clientId) {
        conflicts.push(`client of ${providerId}: client_id (here ${here.clientId}, in the file ${clientId})`);
      } else if (dataKeys.openClient(here).reveal() !== secret.reveal())
        conflicts.push(`client of ${providerId}: its secret is another one here`);
    }
    return { added, unchanged: clients.length - added.length - conflicts.length, conflicts };
  }

  /** Policies of files become policies of the vault; where the same text is in force by a file here, it is there already. */
  async #withPolicyFiles(moved: MovedVault): Promise<MovedVault> {
    if (moved.policyFiles.length === 0) return moved;
    const { policies } = this.#parts;
    const here = new Set(policies.list().map(({ source }) => (source.origin === 'file' ? source.toml : '')));
    const named = await policies.nameSources(moved.policyFiles);
    const rows = named.flatMap(({ name, toml }): PolicyRow[] =>
      here.has(toml)
        ? []
        : [{ id: idFrom(name, toml), name, toml, version: 1, createdAt: moved.createdAt, updatedAt: moved.createdAt }],
    );
    return { ...moved, policies: [...moved.policies, ...rows] };
  }

  #policyFileNames(): ReadonlySet<string> {
    const { policies } = this.#parts;
    return new Set(policies.list().flatMap(({ source, policy }) => (source.origin === 'file' ? [policy.name] : [])));
  }
}

/** A UUID that is the same for the same policy, so that a file that is imported again is recognised. */
function idFrom(name: string, toml: string): string {
  const hex = createHash('sha256').update(`policy file\n${name}\n${toml}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function accountOf({ id, name, providerId, version, oauth }: CredentialRow): MovedAccount | null {
  if (oauth === undefined || oauth.state !== 'ok') return null;
  return { id, name, providerId, version, isBegun: oauth.refreshBegunAt !== null };
}

const referencesOf = (rows: readonly CredentialRow[]): string[] =>
  rows.flatMap(({ name, sources }) =>
    Object.entries(sources?.fields ?? {}).map(([field, reference]) => `${name}.${field}: ${reference}`),
  );

const countsOf = (rows: MovedRows, clients: number): MovedCounts => ({
  ...(Object.fromEntries(ROW_KINDS.map((kind) => [kind, rows[kind].length])) as Record<keyof MovedRows, number>),
  clients,
});

function isSameMaterial(a: ReadonlyMap<string, Secret> | undefined, b: ReadonlyMap<string, Secret> | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.size === b.size && [...a].every(([name, secret]) => b.get(name)?.reveal() === secret.reveal());
}

const unseenReferences = (references: readonly string[]): AlterError =>
  new AlterError(
    'invalid_input',
    { problems: references.map((reference) => `would be fetched on this machine: ${reference}`) },
    { hint: 'When each of them is meant: `alterd import FILE --allow-references`. Nothing was changed.' },
  );

const renewedSince = (name: string): AlterError =>
  new AlterError('conflict', {
    reason: `The tokens of "${name}" were renewed since they were exported, or are being renewed just now`,
    hint: 'Export again: the newest token has to be in the file. Nothing was retired.',
  });
