/** How an audit entry is shown: as a row of a table and as a line of an endless list. Pure. */
import type { EntryView } from '../api/views.ts';
import type { Column } from './output.ts';

export const ENTRY_COLUMNS: readonly Column<EntryView>[] = [
  { header: 'TIME', cell: (entry) => entry.at },
  { header: 'REQUEST', cell: (entry) => entry.request_id },
  { header: 'AGENT', cell: (entry) => entry.agent },
  { header: 'CALL', cell: callOf },
  { header: 'GRANT', cell: (entry) => entry.grant_label ?? entry.grant_id },
  { header: 'RESULT', cell: (entry) => resultOf(entry) + bodiesMark(entry) },
  { header: 'MS', cell: (entry) => (entry.kind === 'event' || entry.closed_at === null ? null : Math.round(entry.latency_ms)) },
];

/** What was called, or what happened. */
export function callOf(entry: EntryView): string {
  if (entry.kind === 'event') return `${entry.action} ${entry.credential ?? entry.details?.host ?? ''}`.trim();
  const port = entry.port === null || entry.port === 443 ? '' : `:${entry.port}`;
  return `${entry.method ?? (entry.kind === 'tunnel' ? 'CONNECT' : '')} ${entry.host ?? ''}${port}${entry.path ?? ''}`.trim();
}

/** How it ended. */
export function resultOf(entry: EntryView): string {
  if (entry.closed_at === null) return 'open';
  if (entry.error !== null) return entry.policy_error === null ? entry.error : `${entry.error} (${entry.policy_error})`;
  if (entry.outcome !== 'success') return entry.outcome;
  return entry.kind === 'exchange' ? String(entry.status ?? 'success') : entry.kind === 'tunnel' ? 'tunnelled' : 'done';
}

/** Where bodies are kept beside it, or were to be. */
function bodiesMark({ bodies, body_dropped }: EntryView): string {
  if (bodies !== null) return ' +bodies';
  return body_dropped === null ? '' : ' (bodies dropped)';
}

export const entryLine = (entry: EntryView): string =>
  [
    entry.at,
    entry.request_id,
    entry.agent ?? '-',
    callOf(entry),
    resultOf(entry) + bodiesMark(entry),
    entry.kind === 'event' ? '' : `${Math.round(entry.latency_ms)}ms`,
  ]
    .join('  ')
    .trimEnd();
