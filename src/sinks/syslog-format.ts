/** RFC 5424 messages, and their framing on streams (RFC 6587, octet counting; RFC 5425 asks for it with TLS). Pure. */
import type { SinkItem } from './sink.ts';

/** "log audit" of RFC 5424. */
const FACILITY = 13;
const INFORMATIONAL = 6;
const NOTICE = 5;
const WARNING = 4;
/** What a datagram surely carries. */
export const MAX_DATAGRAM_BYTES = 60_000;

function severityOf({ facts }: SinkItem): number {
  if (facts.decision === 'deny' || facts.outcome === 'refused') return WARNING;
  return facts.outcome === 'success' || facts.kind === 'checkpoint' ? INFORMATIONAL : NOTICE;
}

export const priorityOf = (item: SinkItem): number => FACILITY * 8 + severityOf(item);

/** HOSTNAME: printable ASCII without blanks, at most 255. */
const nameOf = (host: string): string => host.replace(/[^\x21-\x7e]/g, '').slice(0, 255) || '-';

export function syslogMessage(item: SinkItem, host: string, pid: number): string {
  const kind = typeof item.facts.kind === 'string' && /^[a-z]{1,32}$/.test(item.facts.kind) ? item.facts.kind : '-';
  return `<${priorityOf(item)}>1 ${new Date(item.at).toISOString()} ${nameOf(host)} alterd ${pid} ${kind} - ${item.line}`;
}

/** What fits a datagram: a row that does not is told by its place and hash. */
export function datagramMessage(item: SinkItem, host: string, pid: number): string {
  const whole = syslogMessage(item, host, pid);
  if (whole.length <= MAX_DATAGRAM_BYTES) return whole;
  const { n, prev, hash, request_id } = item.facts;
  return syslogMessage({ ...item, line: JSON.stringify({ n, prev, request_id, cut: true, hash }) }, host, pid);
}

/** Messages are ASCII: one character is one byte. */
export const octetCounted = (message: string): string => `${message.length} ${message}`;
