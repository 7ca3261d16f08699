/**
 * Counts requests as their audit rows close. On the path of every request: a few look-ups by strings that exist already, nothing
 * kept for a single request. Hosts, paths and agents are no labels: there is no end of them.
 */
import type { AuditClosing, AuditOpening } from '../domain/audit.ts';
import type { BodyMark } from '../domain/audit-body.ts';
import { ERRORS } from '../domain/errors.ts';
import { alarmAction } from '../domain/placeholder-alarm.ts';
import { Counters, Histogram } from './families.ts';

const CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const MAX_PROVIDERS = 200;
const ALARMS: ReadonlySet<string> = new Set([alarmAction('removed'), alarmAction('foreign')]);

const classOf = (status: number | null): (typeof CLASSES)[number] =>
  status === null ? 'none' : (CLASSES[Math.floor(status / 100)] ?? 'none');

export class RequestMeter {
  readonly #requests = new Counters(
    'alterd_requests_total',
    'Requests and tunnels that ended, by provider, decision and class of the status.',
    ['provider', 'decision', 'status'],
    MAX_PROVIDERS * CLASSES.length,
  );
  readonly #refusals = new Counters('alterd_refusals_total', 'Requests that ended with an error of alterd, by its code.', [
    'code',
  ]);
  readonly #latency = new Histogram('alterd_request_duration_seconds', 'From the request to the end of its answer.', BOUNDS);
  readonly #scrubbed = new Counters('alterd_scrubbed_total', 'Secrets that were masked in answers.', []);
  readonly #bytesIn = new Counters('alterd_received_bytes_total', 'Bytes of answers.', []);
  readonly #bytesOut = new Counters('alterd_sent_bytes_total', 'Bytes of requests.', []);
  readonly #bodies = new Counters(
    'alterd_audit_bodies_total',
    'Exchanges with bodies kept beside their rows, and those of which one was left out, by the reason.',
    ['result'],
  );
  readonly #events = new Counters('alterd_events_total', 'Audit events that are no requests.', []);
  readonly #alarms = new Counters(
    'alterd_placeholder_alarms_total',
    'Alarms because a placeholder was used that nobody may use, by the reason.',
    ['why'],
  );
  /** Series keys by provider, so that none is joined anew for each request. */
  readonly #keys = new Map<string, Map<string, { readonly key: string; readonly values: readonly string[] }>>();
  #ended = 0;
  #denied = 0;

  /** An entry was closed. Never throws. */
  observe(opening: AuditOpening, closing: AuditClosing, mark: BodyMark | null = null): void {
    if (opening.kind === 'event') {
      this.#events.add('', []);
      if (ALARMS.has(opening.action)) this.#countAlarm(String(opening.details?.why));
      return;
    }
    this.#ended += 1;
    if (opening.decision === 'deny') this.#denied += 1;
    const { key, values } = this.#seriesOf(opening.provider_id ?? 'none', opening.decision ?? 'none', classOf(closing.status));
    this.#requests.add(key, values);
    const error = closing.error ?? opening.error;
    if (error !== null) this.#countError(error);
    if (closing.bytes_in > 0) this.#bytesIn.add('', [], closing.bytes_in);
    if (closing.bytes_out > 0) this.#bytesOut.add('', [], closing.bytes_out);
    if (mark !== null) this.#countBodies(mark);
    if (closing.scrubbed !== undefined && closing.scrubbed > 0) this.#scrubbed.add('', [], closing.scrubbed);
    // A tunnel and a WebSocket last as long as they are used.
    if (opening.kind === 'exchange' && closing.status !== 101) this.#latency.observe(closing.latency_ms / 1000);
  }

  get ended(): number {
    return this.#ended;
  }

  get denied(): number {
    return this.#denied;
  }

  write(out: string[]): void {
    for (const family of [
      this.#requests,
      this.#refusals,
      this.#latency,
      this.#scrubbed,
      this.#bytesIn,
      this.#bytesOut,
      this.#events,
      this.#bodies,
      this.#alarms,
    ])
      family.write(out);
  }

  #countBodies({ bodies, body_dropped }: BodyMark): void {
    if (bodies !== null) this.#bodies.add('kept', ['kept']);
    if (body_dropped !== null) this.#bodies.add(body_dropped, [body_dropped]);
  }

  #countAlarm(why: string): void {
    this.#alarms.add(why, [why]);
  }

  #countError(error: string): void {
    const code = Object.hasOwn(ERRORS, error) ? error : 'other';
    this.#refusals.add(code, [code]);
  }

  #seriesOf(provider: string, decision: string, status: (typeof CLASSES)[number]): { key: string; values: readonly string[] } {
    let known = this.#keys.get(provider);
    if (known === undefined) {
      if (this.#keys.size >= MAX_PROVIDERS && provider !== 'other') return this.#seriesOf('other', decision, status);
      this.#keys.set(provider, (known = new Map()));
    }
    const name = decision === 'allow' ? status : `${decision} ${status}`;
    let series = known.get(name);
    if (series === undefined) known.set(name, (series = { key: `${provider} ${name}`, values: [provider, decision, status] }));
    return series;
  }
}
