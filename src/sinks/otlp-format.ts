/** Rows as OTLP log records in JSON (opentelemetry-proto logs v1, ExportLogsServiceRequest). Pure. */
import type { SinkItem } from './sink.ts';

const INFO = 9;
const WARN = 13;
const ERROR = 17;
const TEXT: Readonly<Record<number, string>> = { [INFO]: 'INFO', [WARN]: 'WARN', [ERROR]: 'ERROR' };

/** Members that become attributes, by the names of the semantic conventions where there are any. */
const ATTRIBUTES: readonly (readonly [member: string, attribute: string])[] = [
  ['request_id', 'alter.request_id'],
  ['n', 'alter.n'],
  ['hash', 'alter.hash'],
  ['kind', 'alter.kind'],
  ['action', 'event.name'],
  ['agent', 'alter.agent'],
  ['agent_id', 'alter.agent_id'],
  ['session_id', 'session.id'],
  ['grant_id', 'alter.grant_id'],
  ['provider_id', 'alter.provider'],
  ['decision', 'alter.decision'],
  ['rule', 'alter.rule'],
  ['error', 'error.type'],
  ['policy_error', 'alter.policy_error'],
  ['outcome', 'alter.outcome'],
  ['method', 'http.request.method'],
  ['status', 'http.response.status_code'],
  ['scheme', 'url.scheme'],
  ['host', 'server.address'],
  ['port', 'server.port'],
  ['path', 'url.path'],
  ['latency_ms', 'alter.latency_ms'],
  ['run_id', 'alter.run_id'],
  ['thread_id', 'alter.thread_id'],
  ['tool', 'alter.tool'],
];

interface AnyValue {
  readonly stringValue?: string;
  /** 64 bits: a string in JSON. */
  readonly intValue?: string;
  readonly doubleValue?: number;
}

function anyValueOf(value: unknown): AnyValue | undefined {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value !== 'number') return undefined;
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

function severityOf({ facts }: SinkItem): number {
  if (facts.decision === 'deny' || facts.outcome === 'refused') return WARN;
  return facts.outcome === 'provider_error' || facts.outcome === 'unknown' ? ERROR : INFO;
}

const nanos = (ms: number): string => `${BigInt(Math.trunc(ms)) * 1_000_000n}`;

function recordOf(item: SinkItem, now: number): object {
  const severityNumber = severityOf(item);
  const { trace_id: trace, parent_span_id: span } = item.facts;
  return {
    timeUnixNano: nanos(item.at),
    observedTimeUnixNano: nanos(now),
    severityNumber,
    severityText: TEXT[severityNumber],
    body: { stringValue: item.line },
    attributes: ATTRIBUTES.flatMap(([member, key]) => {
      const value = anyValueOf(item.facts[member]);
      return value === undefined ? [] : [{ key, value }];
    }),
    ...(typeof trace === 'string' && /^[0-9a-f]{32}$/.test(trace) ? { traceId: trace } : {}),
    ...(typeof span === 'string' && /^[0-9a-f]{16}$/.test(span) ? { spanId: span } : {}),
  };
}

/** The body of one POST to `/v1/logs`. */
export function otlpRequest(items: readonly SinkItem[], host: string, now: number): object {
  const resource = {
    attributes: [
      { key: 'service.name', value: { stringValue: 'alterd' } },
      { key: 'host.name', value: { stringValue: host } },
    ],
  };
  const logRecords = items.map((item) => recordOf(item, now));
  return { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'alterd.audit' }, logRecords }] }] };
}
