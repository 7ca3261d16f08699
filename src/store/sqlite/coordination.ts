/** What replicas need of each other, on SQLite: the change log, one-time texts and leases. Runs inside the store's transactions. */
import type { Database, Statement } from 'better-sqlite3';
import { KEPT_EPOCHS, type LogRow, writeChanges } from '../change-log.ts';
import { LostLease } from '../conflicts.ts';
import type { StoreChange } from '../rows.ts';
import type { HeldLease, Nonce } from '../store.ts';

export class SqliteCoordination {
  readonly #addLog: Statement;
  readonly #trimLog: Statement;
  readonly #readLog: Statement<unknown[], LogRow>;
  readonly #useNonce: Statement;
  readonly #forgetNonces: Statement;
  readonly #acquire: Statement<unknown[], { fence: number }>;
  readonly #renew: Statement;
  readonly #release: Statement;
  readonly #holds: Statement;

  constructor(db: Database) {
    this.#addLog = db.prepare('insert into change_log (epoch, changes) values (?, ?)');
    this.#trimLog = db.prepare('delete from change_log where epoch <= ?');
    this.#readLog = db.prepare('select epoch, changes from change_log where epoch > ? order by epoch');
    this.#useNonce = db.prepare('insert into nonces (key, expires_at) values (?, ?) on conflict (key) do nothing');
    this.#forgetNonces = db.prepare('delete from nonces where expires_at < ?');
    this.#acquire = db.prepare(`insert into leases (name, holder, fence, expires_at) values (@name, @holder, 1, @until)
      on conflict (name) do update set holder = excluded.holder, fence = fence + 1, expires_at = excluded.expires_at
      where expires_at <= @now or holder = excluded.holder
      returning fence`);
    this.#renew = db.prepare('update leases set expires_at = ? where name = ? and fence = ? and expires_at > ?');
    // The row stays, so that its token goes on rising.
    this.#release = db.prepare('update leases set expires_at = 0 where name = ? and fence = ?');
    this.#holds = db.prepare('select 1 from leases where name = ? and fence = ?');
  }

  logChanges(epoch: number, changes: readonly StoreChange[]): void {
    const text = writeChanges(changes);
    this.#trimLog.run(text === null ? epoch : epoch - KEPT_EPOCHS);
    if (text !== null) this.#addLog.run(epoch, text);
  }

  log(after: number): LogRow[] {
    return this.#readLog.all(after);
  }

  useNonce({ key, expiresAt }: Nonce): boolean {
    return this.#useNonce.run(key, expiresAt).changes === 1;
  }

  forgetNonces(expiredBefore: number): void {
    this.#forgetNonces.run(expiredBefore);
  }

  acquireLease(name: string, holder: string, ttlMs: number, now: number): number | null {
    return this.#acquire.get({ name, holder, until: now + ttlMs, now })?.fence ?? null;
  }

  renewLease({ name, fence }: HeldLease, ttlMs: number, now: number): boolean {
    return this.#renew.run(now + ttlMs, name, fence, now).changes === 1;
  }

  releaseLease({ name, fence }: HeldLease): void {
    this.#release.run(name, fence);
  }

  /** An ended lease that nobody took is still its holder's. @throws LostLease */
  requireLease({ name, fence }: HeldLease): void {
    if (this.#holds.get(name, fence) === undefined) throw new LostLease();
  }
}
