/**
 * What the vault holds in memory, and the only way to change it: one at a time, announced to the audit journal, applied to the
 * store in one transaction, then made visible as a new Authority. If any step fails, nothing changes.
 */
import type { KeyObject } from 'node:crypto';
import type { Agent } from '../domain/agent.ts';
import type { AuditPort } from '../domain/audit.ts';
import type { Authority } from '../domain/authority.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import { storedForm } from '../store/columns/stored-form.ts';
import { CommitUnknown } from '../store/conflicts.ts';
import type { KeyRow, StoreChange, StoreSnapshot } from '../store/rows.ts';
import { changeSnapshot } from '../store/snapshot.ts';
import type { HeldLease, Store } from '../store/store.ts';
import { authorityOf, type MadeAuthority } from './authority.ts';
import { closingOf, openingOf, type VaultEvent } from './events.ts';
import { isMacRight, MAC_NAME, macOf, RowDigests } from './integrity.ts';
import { metaAfter, retirementsOf } from './retired-placeholders.ts';
import { notVouchedFor, unusable } from './rows-refused.ts';

/** In the vault's meta, and so under its MAC. */
const JOURNAL_NAME = 'journal';

export interface VaultStateOptions {
  readonly store: Store;
  readonly snapshot: StoreSnapshot;
  readonly macKey: KeyObject;
  /** Of the rows that were checked. */
  readonly digests?: RowDigests | undefined;
  readonly audit: AuditPort;
  readonly now: () => number;
  /** True where others change the same store: before each change their changes are taken over. */
  readonly isShared?: boolean | undefined;
  /** The key of the MAC over rows that others wrote; absent: the key does not change. @throws AlterError vault_unavailable when it is not on hand */
  readonly macKeyFor?: ((rows: StoreSnapshot) => Promise<KeyObject>) | undefined;
}

/** Without an answer of a shared store for this long nothing is decided by what is in memory. */
const FRESH_MS = 5_000;

export class VaultState {
  readonly store: Store;
  readonly now: () => number;
  /** Others change the same store. */
  readonly isShared: boolean;
  readonly #audit: AuditPort;
  readonly #listeners = new Set<(authority: Authority) => void>();
  readonly #macKeyFor: (rows: StoreSnapshot) => Promise<KeyObject>;
  readonly #digests: RowDigests;
  #macKey: KeyObject;
  /** What others wrote does not open here. */
  #locked: AlterError | null = null;
  #rows: StoreSnapshot;
  #made: MadeAuthority;
  #keysByHash!: ReadonlyMap<string, KeyRow>;
  #keysById!: ReadonlyMap<string, KeyRow>;
  #indexedKeys: readonly KeyRow[] | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #journalMark: string | null = null;
  readonly #followers = new Set<(rows: StoreSnapshot) => void | Promise<void>>();
  /** By the monotonic clock: when the store last said that nothing, or nothing more, had changed. */
  #freshAt = performance.now();
  /** Since when it has answered without a longer silence. */
  #steadySince = performance.now();

  constructor(options: VaultStateOptions) {
    this.store = options.store;
    this.now = options.now;
    this.#audit = options.audit;
    this.#macKey = options.macKey;
    this.#digests = options.digests ?? new RowDigests();
    this.#macKeyFor = options.macKeyFor ?? (async () => this.#macKey);
    this.#rows = options.snapshot;
    this.isShared = options.isShared === true;
    this.#made = { rows: options.snapshot, authority: authorityOf(options.snapshot, 1) };
    this.#indexKeys();
  }

  get rows(): StoreSnapshot {
    return this.#rows;
  }

  get authority(): Authority {
    return this.#made.authority;
  }

  /** The journal that the vault wrote to when it was changed last. */
  get recordedJournal(): string | null {
    return this.#rows.meta.get(JOURNAL_NAME) ?? null;
  }

  /** From the next change on the vault says that this is its journal. */
  bindJournal(mark: string): void {
    this.#journalMark = mark;
  }

  keyByHash(hash: string): KeyRow | undefined {
    return this.#keysByHash.get(hash);
  }

  keyById(id: string): KeyRow | undefined {
    return this.#keysById.get(id);
  }

  /** @throws AlterError not_found */
  findAgent(nameOrId: string): Agent {
    const found = this.authority.agents.get(nameOrId) ?? this.#rows.agents.find((agent) => agent.name === nameOrId);
    if (!found) throw new AlterError('not_found', { what: 'agent', name: nameOrId, list_command: 'alterd agent list' });
    return found;
  }

  onAuthorityChange(listener: (authority: Authority) => void): () => void {
    // Wrapped, so that one function that is registered twice is two listeners.
    const entry = (authority: Authority): void => listener(authority);
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Runs one change after the other: what `work` has checked still holds when it commits. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(async () => {
      if (this.isShared) await this.#follow();
      return work();
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Called with what others have changed before it is in force; a failure keeps it from being so. */
  onFollow(follower: (rows: StoreSnapshot) => void | Promise<void>): void {
    this.#followers.add(follower);
  }

  /** Takes over what others have changed. @throws AlterError vault_unavailable */
  refresh(): Promise<void> {
    return this.exclusive(async () => {});
  }

  /** Whether the database was heard of lately; always so where nobody else changes it. */
  get isFresh(): boolean {
    return !this.isShared || (this.#locked === null && performance.now() - this.#freshAt < FRESH_MS);
  }

  /** True while another replica has put a master key in force that is not here. */
  get isLocked(): boolean {
    return this.#locked !== null;
  }

  /** How long the store has been answering without a silence that would have kept this one from deciding. */
  get steadyMs(): number {
    return this.isFresh ? performance.now() - this.#steadySince : 0;
  }

  /** SECURITY: who can't ask the database can't know what was revoked. @throws AlterError vault_unavailable */
  requireFresh(): void {
    if (this.isFresh) return;
    if (this.#locked !== null) throw this.#locked;
    throw new AlterError(
      'vault_unavailable',
      { reason: 'its database has not answered for some seconds' },
      { hint: 'Check that it runs and can be reached: `pg_isready`. alterd goes on by itself.' },
    );
  }

  async #follow(): Promise<void> {
    const askedAt = performance.now();
    const before = this.#rows;
    const log = await this.store.changesSince(before.epoch);
    if (log === null || log.length > 0) {
      const next = log?.reduce((rows, { changes }) => changeSnapshot(rows, changes), before) ?? (await this.store.load());
      const macKey = await this.#unlock(next);
      // SECURITY: the log and the rows are as good as the MAC over them; a database that went back would undo revocations.
      if (next.epoch < before.epoch || !isMacRight(macKey, next, this.#digests))
        throw next.epoch < before.epoch
          ? unusable(
              `its database went back in time (from change ${before.epoch} to ${next.epoch})`,
              'Restore the database from a backup, then start again.',
            )
          : await notVouchedFor(this.store, ` (between change ${before.epoch} and ${next.epoch})`);
      for (const follower of this.#followers) await follower(next);
      this.#macKey = macKey;
      this.#rows = next;
      this.#indexKeys();
      this.#publish();
    }
    if (!this.isFresh) this.#steadySince = performance.now();
    this.#freshAt = askedAt;
  }

  async #unlock(next: StoreSnapshot): Promise<KeyObject> {
    try {
      const macKey = await this.#macKeyFor(next);
      this.#locked = null;
      return macKey;
    } catch (thrown) {
      // SECURITY: at once, not when it has grown old: what was revoked since is in rows that can't be checked.
      this.#locked = toAlterError(thrown);
      throw thrown;
    }
  }

  /**
   * Audits, applies, publishes. Call it inside exclusive(). `beforePublishing` runs when the change is durable, before anyone sees it.
   * @throws AlterError audit_unavailable, conflict, vault_unavailable
   */
  async commit(
    event: VaultEvent,
    changes: readonly StoreChange[],
    options: { readonly macKey?: KeyObject; readonly beforePublishing?: () => void; readonly lease?: HeldLease | undefined } = {},
  ): Promise<void> {
    const { epoch } = this.#rows;
    const macKey = options.macKey ?? this.#macKey;
    const retired = retirementsOf(this.#rows, changes, this.now());
    // In the form that the others will read, so that the MAC is over what is stored.
    const all = [...changes, ...retired, ...this.#binding()].map(storedForm);
    const draft = changeSnapshot(this.#rows, all);
    const seal: StoreChange = { put: 'meta', name: MAC_NAME, value: macOf(macKey, draft, this.#digests) };
    await this.#record(event, epoch + 1, null);
    try {
      await this.store.apply([...all, seal], epoch, options.lease);
    } catch (thrown) {
      const error = toAlterError(thrown);
      // The event above says that it happens; this one says that it did not, or that nobody knows: then the next look at the store tells.
      await this.#record(event, epoch, error.code, error instanceof CommitUnknown).catch(() => {});
      throw error;
    }
    this.#macKey = macKey;
    this.#rows = { ...draft, meta: new Map(draft.meta).set(seal.name, seal.value) };
    this.#indexKeys();
    options.beforePublishing?.();
    this.#publish();
  }

  /** Audits and publishes a change that is not stored. Call it inside exclusive(). @throws AlterError audit_unavailable */
  async commitInMemory(event: VaultEvent, change: () => void): Promise<void> {
    await this.#record(event, null, null);
    change();
    this.#publish();
  }

  /** Puts rows in force that were changed elsewhere: nothing is stored, and nothing audited here. */
  adopt(rows: StoreSnapshot): void {
    this.#rows = { ...rows, meta: metaAfter(this.#rows, rows, this.now()) };
    this.#indexKeys();
    this.#publish();
  }

  /** Waits for the changes that are under way. */
  async settle(): Promise<void> {
    await this.#queue;
  }

  #binding(): StoreChange[] {
    const mark = this.#journalMark;
    return mark === null || mark === this.recordedJournal ? [] : [{ put: 'meta', name: JOURNAL_NAME, value: mark }];
  }

  #indexKeys(): void {
    const { keys } = this.#rows;
    if (keys === this.#indexedKeys) return;
    this.#indexedKeys = keys;
    this.#keysByHash = new Map(keys.map((key) => [key.hash, key]));
    this.#keysById = new Map(keys.map((key) => [key.id, key]));
  }

  #publish(): void {
    const { authority: before } = this.#made;
    this.#made = { rows: this.#rows, authority: authorityOf(this.#rows, before.version + 1, this.#made) };
    for (const listener of this.#listeners) {
      try {
        listener(this.authority);
      } catch (thrown) {
        // The change is made and durable: a listener's fault must neither undo it nor keep it from the others.
        process.emitWarning(thrown instanceof Error ? thrown : String(thrown));
      }
    }
  }

  async #record(event: VaultEvent, epoch: number | null, error: string | null, isUnknown = false): Promise<void> {
    try {
      await this.#audit.record(openingOf(event, this.now(), epoch), closingOf(error, isUnknown));
    } catch (cause) {
      if (cause instanceof AlterError) throw cause;
      throw new AlterError('audit_unavailable', { reason: 'the event could not be written' }, { cause });
    }
  }
}
