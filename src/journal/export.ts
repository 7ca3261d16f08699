/**
 * Audit entries as CSV (as JSON Lines they leave as they were hashed: row-line.ts). Pure.
 * SECURITY: paths and labels are chosen by agents, and spreadsheets run what looks like a formula: such a cell gets an
 * apostrophe in front, also where blanks or control characters stand before the sign.
 */
import type { AuditEntry } from '../domain/audit.ts';

const COLUMNS = [
  'n',
  'request_id',
  'at',
  'closed_at',
  'kind',
  'action',
  'outcome',
  'status',
  'decision',
  'error',
  'policy_error',
  'rule',
  'policy_version',
  'agent',
  'agent_id',
  'key_id',
  'key_prefix',
  'session_id',
  'caller',
  'uid',
  'pid',
  'executable',
  'peer',
  'provider_id',
  'credential',
  'grant_id',
  'grant_label',
  'principal_type',
  'scheme',
  'host',
  'port',
  'method',
  'path',
  'query_keys',
  'protocol',
  'replaced',
  'latency_ms',
  'bytes_in',
  'bytes_out',
  'scrubbed',
  'trace_id',
  'parent_span_id',
  'reason',
  'run_id',
  'thread_id',
  'tool',
  'details',
  'parent_agent',
  'user_id',
  'user',
  'group',
  'delegation_id',
  'bodies',
  'body_digest',
  'body_dropped',
  'hash',
] as const satisfies readonly (keyof AuditEntry)[];

const FORMULA = /^[\s\p{Cc}]*[=+\-@\uff1d\uff0b\uff0d\uff20|%]|^[\t\r\n]/u;

function cell(value: string): string {
  const guarded = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

function textOf(entry: AuditEntry, column: (typeof COLUMNS)[number]): string {
  const value = entry[column];
  if (value === null || value === undefined) return '';
  if (column === 'at' || column === 'closed_at') return isoTime(value as number);
  if (typeof value === 'number' || typeof value === 'boolean') return `${value}`;
  if (Array.isArray(value)) return cell(value.join(' '));
  return cell(typeof value === 'string' ? value : JSON.stringify(value));
}

function isoTime(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? `${at}` : date.toISOString();
}

/** Names of the CSV columns, CRLF included. */
export const CSV_HEADER = `${COLUMNS.join()}\r\n`;

/** One CSV record, CRLF included. Times are ISO 8601, in UTC. */
export function csvLineOf(entry: AuditEntry): string {
  return `${COLUMNS.map((column) => textOf(entry, column)).join()}\r\n`;
}
