/**
 * What a filter means, for texts of rows and for entries alike. Pure. A look at the characters comes before any parsing: it
 * may pass more than matches, never less.
 */
import type { AuditEntry } from '../domain/audit.ts';
import { quoted } from './entry-text.ts';
import type { AuditFilter } from './reader.ts';

type Member = Exclude<keyof AuditFilter, 'since' | 'until' | 'order' | 'after' | 'limit' | 'text'>;
type Field = keyof AuditEntry & string;

/** Equality on members of the text; several names mean "any of them". */
const FIELDS: Readonly<Record<Member, readonly Field[]>> = {
  agent: ['agent', 'agent_id'],
  user: ['caller', 'uid'],
  grant: ['grant_id', 'grant_label'],
  provider: ['provider_id'],
  credential: ['credential'],
  host: ['host'],
  method: ['method'],
  status: ['status'],
  outcome: ['outcome'],
  decision: ['decision'],
  rule: ['rule'],
  kind: ['kind'],
  action: ['action'],
  error: ['error', 'policy_error'],
  session: ['session_id'],
  key: ['key_prefix', 'key_id'],
  run: ['run_id'],
  thread: ['thread_id'],
  tool: ['tool'],
  trace: ['trace_id', 'run_id'],
};
const MEMBERS = Object.keys(FIELDS) as Member[];
const NUMBERS: ReadonlySet<string> = new Set(['status', 'uid']);

/** Every field that a filter may ask for by equality: what the index of a block covers. */
export const INDEXED_FIELDS: readonly Field[] = [...new Set(MEMBERS.flatMap((member) => FIELDS[member]))];

/** The words that the index knows a value by. */
export const termOf = (field: string, value: string | number): string => `${field}=${value}`;

/** For each member that was given, the terms of which a block that may match holds at least one. */
export function termsOf(filter: AuditFilter): string[][] {
  return MEMBERS.flatMap((member) => {
    const value = filter[member];
    return value === undefined ? [] : [FIELDS[member].map((field) => termOf(field, value))];
  });
}

type Values = Readonly<Record<string, unknown>> & { readonly at: number };

function isWithin(at: number, { since, until }: AuditFilter): boolean {
  return (since === undefined || at >= since) && (until === undefined || at <= until);
}

const hasEqual = (entry: Values, fields: readonly string[], value: string | number): boolean =>
  fields.some((field) => entry[field] !== undefined && entry[field] !== null && String(entry[field]) === String(value));

/** Whether a value anywhere in the entry holds the text, whatever its case. Hashes are no text. */
function hasText(entry: Values, lower: string): boolean {
  return Object.entries(entry).some(
    ([name, value]) =>
      name !== 'hash' &&
      value !== null &&
      (typeof value === 'object' ? JSON.stringify(value) : String(value)).toLowerCase().includes(lower),
  );
}

/** Whether an entry is what the filter asks for. */
export function isMatch(entry: Values, filter: AuditFilter): boolean {
  if (!isWithin(entry.at, filter)) return false;
  for (const member of MEMBERS) {
    const value = filter[member];
    if (value !== undefined && !hasEqual(entry, FIELDS[member], value)) return false;
  }
  return filter.text === undefined || hasText(entry, filter.text.toLowerCase());
}

const ASCII_WORDS = /^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/;

/** Answers what decides about one text. */
export function matcherOf(filter: AuditFilter): (body: string) => boolean {
  const traces = MEMBERS.flatMap((member) => {
    const value = filter[member];
    if (value === undefined) return [];
    return [FIELDS[member].map((field) => `"${field}":${NUMBERS.has(field) ? value : quoted(`${value}`)}`)];
  });
  const text = filter.text === undefined || !ASCII_WORDS.test(filter.text) ? undefined : filter.text.toLowerCase();
  if (traces.length === 0 && filter.text === undefined && filter.since === undefined && filter.until === undefined)
    return () => true;
  return (body) => {
    for (const any of traces) if (!any.some((trace) => body.includes(trace))) return false;
    if (text !== undefined && !body.toLowerCase().includes(text)) return false;
    return isMatch(JSON.parse(body) as Values, filter);
  };
}
