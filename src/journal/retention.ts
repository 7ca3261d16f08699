/**
 * Removes what is older than the retention time: always whole blocks from the start of the chain, with an anchor kept in
 * their place so that the rest still verifies. A block goes when its last row is too old; none spans more than some hours.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database } from 'better-sqlite3';
import type { Block } from './block.ts';
import type { JournalState } from './database.ts';
import type { Ingest } from './ingest.ts';

export const DAY_MS = 86_400_000;
const CHUNK_BLOCKS = 8;

/** Removes what closed before `cutoff`, in chunks, as long as it may. Answers the bytes of bodies that went with the rows. */
export async function removeExpired(db: Database, ingest: Ingest, cutoff: number, mayGoOn: () => boolean): Promise<number> {
  let freed = 0;
  const onFreed = (bytes: number): void => {
    freed += bytes;
  };
  while (mayGoOn() && removeOlder(db, ingest, cutoff, onFreed)) await nextTurn();
  return freed;
}

/** Removes up to one chunk of blocks; true when there may be more. */
function removeOlder(db: Database, ingest: Ingest, cutoff: number, onFreed: (bytes: number) => void): boolean {
  const blocks = db
    .prepare<[], Pick<Block, 'last_n' | 'hash' | 'chain_at'>>(
      `SELECT last_n, hash, chain_at FROM blocks ORDER BY first_n LIMIT ${CHUNK_BLOCKS}`,
    )
    .all();
  const fresh = blocks.findIndex((block) => block.chain_at >= cutoff);
  const last = blocks.at((fresh < 0 ? blocks.length : fresh) - 1);
  if (last === undefined || fresh === 0) return false;
  const { last_n: upTo, hash, chain_at } = last;
  const next: JournalState = { ...ingest.state, anchor_n: upTo, anchor_hash: hash, anchor_chain_at: chain_at };
  // SECURITY: the sealed head learns of the removal first, and on disk. Only rows that it allows to be missing may be missing.
  ingest.sealHead(false, next, true);
  const freed = db.prepare('SELECT coalesce(sum(bytes), 0) FROM bodies WHERE n <= ?').pluck().get(upTo) as number;
  db.transaction(() => {
    db.prepare('DELETE FROM blocks WHERE first_n <= ?').run(upTo);
    db.prepare('DELETE FROM bodies WHERE n <= ?').run(upTo);
    db.prepare('UPDATE journal_state SET anchor_n = ?, anchor_hash = ?, anchor_chain_at = ?').run(upTo, hash, chain_at);
  })();
  ingest.state = next;
  onFreed(freed);
  if (upTo === ingest.end.n) ingest.end.leaveBlock();
  return fresh < 0;
}
