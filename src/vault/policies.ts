/**
 * The policies in force: those of the files and those of the API, loaded as one set and kept by version. A set that is wrong in
 * any part changes nothing: the one before stays, and everybody is told (S-107).
 */
import { createHash, randomUUID } from 'node:crypto';
import { type LoadedPolicies, type LoadedPolicy, loadPolicies, readPolicyDirectory } from '../config/policy-directory.ts';
import { type PolicyProblem, problemText } from '../config/policy-problem.ts';
import { AlterError } from '../domain/errors.ts';
import type { PolicySource } from '../domain/policy.ts';
import { byCreation } from '../domain/row-lists.ts';
import { NO_POLICIES, type PolicySet } from '../policy/policy-set.ts';
import type { PolicyRow, PolicySetRow, RateLimitRow, StoreChange, StoreSnapshot } from '../store/rows.ts';
import type { VaultEvent } from './events.ts';
import { inTurn } from './in-turn.ts';
import type { VaultState } from './state.ts';

/** A set that was in force from an epoch on. */
export interface PolicyVersion {
  readonly version: number;
  readonly digest: string;
  readonly createdAt: number;
  readonly sources: readonly PolicySource[];
}

export interface VaultPolicies {
  readonly set: PolicySet;
  list(): readonly LoadedPolicy[];
  /** What is in force by this version: the newest set that is not newer. The set in force without one. @throws AlterError not_found */
  version(version?: number): PolicyVersion;
  /** Newest first. */
  versions(): readonly PolicyVersion[];
  onChange(listener: (set: PolicySet) => void): () => void;
  /** What is written now, in the files and in the vault, right or wrong. @throws AlterError invalid_input when a file can't be read */
  readSources(): { readonly sources: readonly PolicySource[] };
  /** Reads and checks the files beside what is stored, and changes nothing. @throws AlterError invalid_input */
  check(): Promise<PreparedPolicies>;
  /** Puts in force what was checked. @throws AlterError audit_unavailable, vault_unavailable */
  apply(prepared: PreparedPolicies): Promise<boolean>;
  /** Records that files were refused: the alarm. */
  noteRefusal(problems: readonly string[]): Promise<void>;
  /** @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable */
  add(toml: string, options: { readonly replace: boolean }): Promise<LoadedPolicy>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  remove(name: string): Promise<void>;
  /** Counters of rate limits, which are written without an epoch of their own. */
  loadLimits(): Promise<RateLimitRow[]>;
  saveLimits(rows: readonly RateLimitRow[]): Promise<void>;
}

export interface PreparedPolicies {
  readonly files: readonly PolicySource[];
  readonly problems: readonly PolicyProblem[];
}

const KEPT_VERSIONS = 50;
/** A limit looks back a day at most by its unit times 999999; what was not used for so long counts like new. */
export const FORGET_LIMITS_MS = 400 * 86_400_000;

const digestOf = (sources: readonly PolicySource[]): string => createHash('sha256').update(JSON.stringify(sources)).digest('hex');

/** The newest, or the one that was in force at a version. @throws AlterError not_found */
export function pickVersion(versions: readonly PolicyVersion[], version: number | undefined): PolicyVersion {
  const found = versions.find((each) => version === undefined || each.version <= version);
  if (found !== undefined) return found;
  if (version === undefined) return { version: 0, digest: digestOf([]), createdAt: 0, sources: [] };
  throw new AlterError('not_found', {
    what: 'policy version',
    name: String(version),
    list_command: 'alterd policy list --versions',
  });
}

const refused = (problems: readonly PolicyProblem[]): AlterError =>
  new AlterError(
    'invalid_input',
    { problems: problems.filter(({ severity }) => severity === 'error').map(problemText) },
    { hint: 'Correct them, then `alterd policy validate`; the policies of before stay in force.' },
  );

export class EmbeddedPolicies implements VaultPolicies {
  readonly #state: VaultState;
  readonly #dir: string | null;
  readonly #listeners = new Set<(set: PolicySet) => void>();
  #files: readonly PolicySource[] = [];
  #set: PolicySet = NO_POLICIES;
  #loaded: readonly LoadedPolicy[] = [];

  constructor(state: VaultState, dir: string | null) {
    this.#state = state;
    this.#dir = dir;
  }

  /**
   * Loads what is there at the start. Files that are wrong leave the set of before in force, which the vault has kept; with none
   * to fall back to there is no start. Answers the problems of files that were refused.
   * @throws AlterError invalid_input, audit_unavailable, vault_unavailable
   */
  async start(): Promise<readonly string[]> {
    try {
      await this.apply(await this.check());
      return [];
    } catch (thrown) {
      const before = this.versions()[0];
      if (!(thrown instanceof AlterError) || thrown.code !== 'invalid_input' || before === undefined) throw thrown;
      const { set, loaded } = await loadPolicies(before.sources);
      // SECURITY: without the rules of before nothing would be denied.
      if (set === null) throw thrown;
      this.#files = before.sources.filter(({ origin }) => origin === 'file');
      this.#publish(set, loaded);
      const { problems } = thrown.details as { problems: readonly string[] };
      await this.noteRefusal(problems);
      return problems;
    }
  }

  /** Puts in force what another replica has put in force. @throws AlterError invalid_input */
  async follow(rows: StoreSnapshot): Promise<void> {
    const newest = rows.policySets.map(versionOf).sort((a, b) => b.version - a.version)[0];
    if (newest === undefined || newest.version === this.versions()[0]?.version) return;
    const next = await this.#load(newest.sources);
    this.#files = newest.sources.filter(({ origin }) => origin === 'file');
    this.#publish(next.set as PolicySet, next.loaded);
  }

  get set(): PolicySet {
    return this.#set;
  }

  list(): readonly LoadedPolicy[] {
    return this.#loaded;
  }

  versions(): readonly PolicyVersion[] {
    return this.#state.rows.policySets.map(versionOf).sort((a, b) => b.version - a.version);
  }

  version(version?: number): PolicyVersion {
    return pickVersion(this.versions(), version);
  }

  onChange(listener: (set: PolicySet) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  readSources(): { readonly sources: readonly PolicySource[] } {
    return { sources: [...(this.#dir === null ? [] : readPolicyDirectory(this.#dir)), ...this.#stored()] };
  }

  async check(): Promise<PreparedPolicies> {
    const files = this.#dir === null ? [] : readPolicyDirectory(this.#dir);
    const { set, problems } = await loadPolicies([...files, ...this.#stored()]);
    if (set === null) throw refused(problems);
    return { files, problems };
  }

  apply({ files }: PreparedPolicies): Promise<boolean> {
    // Replicas with the same files that start together put them in force once.
    return inTurn(this.#state, async () => {
      const sources = [...files, ...this.#stored()];
      const before = this.versions()[0];
      const isNew = before === undefined ? sources.length > 0 : before.digest !== digestOf(sources);
      const next = await this.#load(sources);
      if (isNew) {
        const details = {
          policies: sources.length,
          files: files
            .map(({ place }) => place)
            .join(' ')
            .slice(0, 500),
        };
        await this.#state.commit({ action: 'policies.loaded', details }, this.#setChanges(sources));
      }
      this.#files = files;
      this.#publish(next.set as PolicySet, next.loaded);
      return isNew;
    });
  }

  async noteRefusal(problems: readonly string[]): Promise<void> {
    const details = { problems: problems.length, first: (problems[0] ?? '').slice(0, 300) };
    await this.#state.exclusive(() => this.#state.commitInMemory({ action: 'policies.refused', details }, () => {}));
  }

  add(toml: string, { replace }: { readonly replace: boolean }): Promise<LoadedPolicy> {
    return this.#state.exclusive(async () => {
      const alone = await loadPolicies([{ origin: 'vault', place: 'policy', toml }]);
      const policy = alone.loaded[0]?.policy;
      if (alone.set === null || policy === undefined) throw refused(alone.problems);
      const existing = this.#state.rows.policies.find((row) => row.name === policy.name);
      if (existing !== undefined && !replace)
        throw new AlterError('conflict', {
          reason: `There is a policy "${policy.name}" already`,
          hint: 'Put it in place of that one: `alterd policy add FILE --replace`.',
        });
      const now = this.#state.now();
      const row: PolicyRow = {
        id: existing?.id ?? randomUUID(),
        name: policy.name,
        toml,
        version: (existing?.version ?? 0) + 1,
        createdAt: existing?.createdAt ?? now,
        updatedAt: now,
      };
      const action = existing === undefined ? 'policy.created' : 'policy.replaced';
      const event: VaultEvent = { action, details: { policy: row.name, policy_revision: row.version } };
      const others = this.#stored().filter(({ place }) => place !== row.name);
      await this.#change(event, { put: 'policy', row }, [...others, { origin: 'vault', place: row.name, toml }]);
      return this.#loaded.find((each) => each.policy.name === row.name) as LoadedPolicy;
    });
  }

  remove(name: string): Promise<void> {
    return this.#state.exclusive(async () => {
      const row = this.#state.rows.policies.find((each) => each.name === name);
      if (row === undefined) {
        const file = this.#loaded.find(({ policy }) => policy.name === name)?.source.place;
        if (file === undefined) throw new AlterError('not_found', { what: 'policy', name, list_command: 'alterd policy list' });
        const hint = 'Remove the file, then let the daemon read it anew: `systemctl reload alterd`, or send SIGHUP.';
        throw new AlterError('conflict', { reason: `The policy "${name}" comes from the file ${file}`, hint });
      }
      const event: VaultEvent = { action: 'policy.removed', details: { policy: name } };
      await this.#change(
        event,
        { remove: 'policy', id: row.id },
        this.#stored().filter(({ place }) => place !== name),
      );
    });
  }

  /**
   * What a change has to bring along that adds these policies, and what to call when it is durable. Call it inside exclusive().
   * @throws AlterError invalid_input when they make no set with what is here
   */
  async prepareAdded(rows: readonly PolicyRow[]): Promise<{ readonly changes: StoreChange[]; readonly publish: () => void }> {
    if (rows.length === 0) return { changes: [], publish: () => {} };
    const stored = [...this.#state.rows.policies, ...rows].sort(byCreation);
    const sources = [...this.#files, ...stored.map(sourceOf)];
    const next = await this.#load(sources);
    return {
      changes: [...rows.map((row) => ({ put: 'policy', row }) as const), ...this.#setChanges(sources)],
      publish: () => this.#publish(next.set as PolicySet, next.loaded),
    };
  }

  /** Sources with the name of the policy that each holds. @throws AlterError invalid_input */
  async nameSources(sources: readonly PolicySource[]): Promise<{ readonly name: string; readonly toml: string }[]> {
    const { loaded } = await this.#load(sources);
    return loaded.map(({ policy, source }) => ({ name: policy.name, toml: source.toml }));
  }

  loadLimits(): Promise<RateLimitRow[]> {
    return this.#state.store.listRateLimits();
  }

  saveLimits(rows: readonly RateLimitRow[]): Promise<void> {
    return this.#state.store.saveRateLimits(rows, this.#state.now() - FORGET_LIMITS_MS);
  }

  /** Inside exclusive(). */
  async #change(event: VaultEvent, change: StoreChange, stored: readonly PolicySource[]): Promise<void> {
    const sources = [...this.#files, ...stored];
    const next = await this.#load(sources);
    await this.#state.commit(event, [change, ...this.#setChanges(sources)]);
    this.#publish(next.set as PolicySet, next.loaded);
  }

  /** @throws AlterError invalid_input */
  async #load(sources: readonly PolicySource[]): Promise<LoadedPolicies> {
    const next = await loadPolicies(sources);
    if (next.set === null) throw refused(next.problems);
    return next;
  }

  #setChanges(sources: readonly PolicySource[]): StoreChange[] {
    const row: PolicySetRow = {
      id: String(this.#state.rows.epoch + 1),
      digest: digestOf(sources),
      sources,
      createdAt: this.#state.now(),
    };
    const old = this.versions().slice(KEPT_VERSIONS - 1);
    return [{ put: 'policy_set', row }, ...old.map(({ version }) => ({ remove: 'policy_set' as const, id: String(version) }))];
  }

  #stored(): PolicySource[] {
    return this.#state.rows.policies.map(sourceOf);
  }

  #publish(set: PolicySet, loaded: readonly LoadedPolicy[]): void {
    this.#set = set;
    this.#loaded = loaded;
    for (const listener of this.#listeners) listener(set);
  }
}

const sourceOf = ({ name, toml }: PolicyRow): PolicySource => ({ origin: 'vault', place: name, toml });

const versionOf = (row: PolicySetRow): PolicyVersion => ({
  version: Number(row.id),
  digest: row.digest,
  createdAt: row.createdAt,
  sources: row.sources,
});
