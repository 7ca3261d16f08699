/**
 * The policies of a host that borrows: those of the vault, and those of its own files, which can only restrict further. Loaded as one
 * set; where they don't load, nothing passes, because the rules of the vault are not the host's to leave out.
 */
import { type LoadedPolicies, type LoadedPolicy, loadPolicies, readPolicyDirectory } from '../config/policy-directory.ts';
import { problemText } from '../config/policy-problem.ts';
import { AlterError } from '../domain/errors.ts';
import type { PolicySource } from '../domain/policy.ts';
import { NO_POLICIES, type PolicySet } from '../policy/policy-set.ts';
import type { PolicySetRow, RateLimitRow } from '../store/rows.ts';
import {
  FORGET_LIMITS_MS,
  type PolicyVersion,
  type PreparedPolicies,
  pickVersion,
  type VaultPolicies,
} from '../vault/policies.ts';
import type { VaultState } from '../vault/state.ts';
import { type LeasedStore, managedElsewhere } from './leased-store.ts';

/** A set that is ready to be put in force together with the rows that it came with. */
export interface ReadyPolicies {
  readonly row: PolicySetRow | null;
  readonly files: readonly PolicySource[];
  readonly set: PolicySet;
  readonly loaded: readonly LoadedPolicy[];
  /** `POLICY/RULE` of the vault's own limits that all hosts share. A host's own files are about this host alone, whatever they say. */
  readonly shared: ReadonlySet<string>;
}

export class LeasedPolicies implements VaultPolicies {
  readonly #state: VaultState;
  readonly #store: LeasedStore;
  readonly #vaultUrl: string;
  readonly #dir: string;
  readonly #listeners = new Set<(set: PolicySet) => void>();
  #ready: ReadyPolicies = { row: null, files: [], set: NO_POLICIES, loaded: [], shared: new Set() };

  constructor(parts: {
    readonly state: VaultState;
    readonly store: LeasedStore;
    readonly vaultUrl: string;
    readonly dir: string;
  }) {
    this.#state = parts.state;
    this.#store = parts.store;
    this.#vaultUrl = parts.vaultUrl;
    this.#dir = parts.dir;
  }

  /** Loads what the vault sent with the files that are there. @throws AlterError invalid_input */
  async prepare(
    row: PolicySetRow | null,
    files: readonly PolicySource[] = readPolicyDirectory(this.#dir),
  ): Promise<ReadyPolicies> {
    if (row === this.#ready.row && files === this.#ready.files) return this.#ready;
    const theirs = row?.sources ?? [];
    const { set, loaded } = ready(await loadPolicies([...theirs, ...files]));
    const names = new Set(loaded.flatMap(({ policy, source }) => (theirs.includes(source) ? [policy.name] : [])));
    const shared = set.rules.filter(({ policy, rule }) => rule.limit?.scope === 'fleet' && names.has(policy.name));
    return { row, files, set, loaded, shared: new Set(shared.map(({ name }) => name)) };
  }

  /** Puts a set in force. */
  use(ready: ReadyPolicies): void {
    if (ready === this.#ready) return;
    this.#ready = ready;
    for (const listener of this.#listeners) listener(ready.set);
  }

  /** The files as they were read last. */
  get files(): readonly PolicySource[] {
    return this.#ready.files;
  }

  get set(): PolicySet {
    return this.#ready.set;
  }

  /** Whether all hosts share the limit of this rule. */
  isShared(rule: string): boolean {
    return this.#ready.shared.has(rule);
  }

  list(): readonly LoadedPolicy[] {
    return this.#ready.loaded;
  }

  versions(): readonly PolicyVersion[] {
    const { row } = this.#ready;
    return row === null ? [] : [{ version: Number(row.id), digest: row.digest, createdAt: row.createdAt, sources: row.sources }];
  }

  version(version?: number): PolicyVersion {
    return pickVersion(this.versions(), version);
  }

  onChange(listener: (set: PolicySet) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  readSources(): { readonly sources: readonly PolicySource[] } {
    return { sources: [...readPolicyDirectory(this.#dir), ...(this.#ready.row?.sources ?? [])] };
  }

  async check(): Promise<PreparedPolicies> {
    const files = readPolicyDirectory(this.#dir);
    await this.prepare(this.#ready.row, files);
    return { files, problems: [] };
  }

  async apply({ files }: PreparedPolicies): Promise<boolean> {
    const before = JSON.stringify(this.#ready.files);
    this.use(await this.prepare(this.#ready.row, files));
    return before !== JSON.stringify(files);
  }

  async noteRefusal(problems: readonly string[]): Promise<void> {
    const details = { problems: problems.length, first: (problems[0] ?? '').slice(0, 300) };
    await this.#state.exclusive(() => this.#state.commitInMemory({ action: 'policies.refused', details }, () => {}));
  }

  async add(): Promise<LoadedPolicy> {
    throw managedElsewhere(this.#vaultUrl);
  }

  async remove(): Promise<void> {
    throw managedElsewhere(this.#vaultUrl);
  }

  loadLimits(): Promise<RateLimitRow[]> {
    return this.#store.listRateLimits();
  }

  saveLimits(rows: readonly RateLimitRow[]): Promise<void> {
    return this.#store.saveRateLimits(rows, this.#state.now() - FORGET_LIMITS_MS);
  }
}

function ready({ set, loaded, problems }: LoadedPolicies): { readonly set: PolicySet; readonly loaded: readonly LoadedPolicy[] } {
  if (set !== null) return { set, loaded };
  throw new AlterError(
    'invalid_input',
    { problems: problems.filter(({ severity }) => severity === 'error').map(problemText) },
    { hint: 'Policies of the vault and of this host are loaded as one set: correct the files here, or update this daemon.' },
  );
}
