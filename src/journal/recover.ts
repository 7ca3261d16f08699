/**
 * The start of a journal: opens the database, compares it with the sealed head, takes in what the last life left in the
 * segments, and closes as `unknown` what it never finished. Nothing is removed before it is committed.
 */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { type JournalState, openAuditDatabase } from './database.ts';
import { HeadFile } from './head.ts';
import { Ingest, type SegmentBounds } from './ingest.ts';
import type { WriterSettings } from './messages.ts';
import { listSegments, makeSegment, removeSegment, segmentPath } from './segments.ts';
import { endsFault } from './verify.ts';

export interface RecoveredJournal {
  readonly db: Database;
  readonly head: HeadFile;
  readonly ingest: Ingest;
  /** The segment to write to. */
  readonly segment: number;
  /** For the operator. */
  readonly notices: readonly string[];
}

function boundsOf(dir: string, segments: readonly number[]): SegmentBounds {
  const there = new Set(segments);
  return {
    current: (segments.at(-1) ?? -1) + 1,
    endOf: (segment) => (there.has(segment) ? statSync(segmentPath(dir, segment)).size : 0),
  };
}

/** Replays the segments into the database. Answers the number for the next one. */
function replay(dir: string, ingest: Ingest, notices: string[]): number {
  const segments = listSegments(dir);
  const bounds = boundsOf(dir, segments);
  ingest.onSkipped = (segment, offset) => {
    notices.push(`audit segment ${segment} is torn at byte ${offset}; later rows of it are lost`);
  };
  ingest.reviewTaken(bounds);
  while (ingest.takeIn(bounds, true)) {
    // One read at a time, each with a commit of its own: a crash in here repeats nothing.
  }
  const next = Math.max(ingest.state.segment, bounds.current, 1);
  const unknown = ingest.closeUnknown(Date.now(), next);
  if (unknown > 0) notices.push(`${unknown} audit entries were open when the daemon ended; they are closed as unknown`);
  for (const segment of segments) removeSegment(dir, segment);
  return next;
}

/**
 * Brings the journal of a directory up to date and makes its first segment.
 * @throws AlterError audit_unavailable when the database is foreign, corrupt or in use
 */
export function recoverJournal(settings: WriterSettings): RecoveredJournal {
  const { dir, headKey, otherHeadKeys } = settings;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chmodSync(dir, 0o700);
  const db = openAuditDatabase(dir);
  try {
    const state = db.prepare('SELECT * FROM journal_state').get() as JournalState;
    const head = new HeadFile(join(dir, 'audit.head'), [headKey, ...otherHeadKeys], state.installation);
    const ingest = new Ingest(dir, db, head, state);
    ingest.fault ??= endsFault(db, { state, n: ingest.end.n, hash: ingest.end.hash }, head.record);
    const notices: string[] = [];
    if (ingest.fault !== null) notices.push(`the audit chain is damaged at row ${ingest.fault.n}: ${ingest.fault.reason}`);
    const segment = replay(dir, ingest, notices);
    makeSegment(dir, segment, settings.segmentBytes);
    return { db, head, ingest, segment, notices };
  } catch (error) {
    db.close();
    throw error;
  }
}
