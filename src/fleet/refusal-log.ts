/**
 * Refusals of the fleet API as audit events. Whoever reaches the port can cause them without end, so each kind from each side leaves one
 * row in a while, with the number of those that were left out. It must never write what was sent.
 */
import type { AuditPort } from '../domain/audit.ts';
import { BLANK_EVENT } from '../domain/audit-event.ts';
import type { AlterError } from '../domain/errors.ts';

const EVERY_MS = 10_000;
const MAX_SUBJECTS = 1_000;

interface Counted {
  at: number;
  left: number;
}

export interface RefusedCall {
  readonly path: string;
  readonly peer: string;
  /** The host that the call named, when there is one of that id. */
  readonly host: { readonly id: string; readonly name: string } | undefined;
}

export class RefusalLog {
  readonly #audit: AuditPort;
  readonly #now: () => number;
  readonly #subjects = new Map<string, Counted>();

  constructor(audit: AuditPort, now: () => number = Date.now) {
    this.#audit = audit;
    this.#now = now;
  }

  /** Never throws, and nobody waits for it: a refusal stands whether or not it can be written down. */
  note(error: AlterError, { path, peer, host }: RefusedCall): void {
    const now = this.#now();
    const name = `${error.code} ${host?.id ?? peer}`;
    const counted = this.#subjects.get(name);
    if (counted !== undefined && now - counted.at < EVERY_MS) {
      counted.left++;
      return;
    }
    this.#subjects.delete(name);
    this.#subjects.set(name, { at: now, left: 0 });
    if (this.#subjects.size > MAX_SUBJECTS) this.#subjects.delete(this.#subjects.keys().next().value as string);
    const details = {
      ...{ path, host_id: host?.id ?? null, host: host?.name ?? null, left_out: counted?.left ?? 0 },
      ...(error.details as { host_error?: string; enrolment_error?: string; skew_ms?: number }),
    };
    const opening = { ...BLANK_EVENT, at: now, action: 'host.refused', peer, details };
    const closing = {
      outcome: 'refused',
      status: error.apiStatus,
      error: error.code,
      latency_ms: 0,
      bytes_in: 0,
      bytes_out: 0,
    } as const;
    this.#audit.record(opening, closing).catch(() => {});
  }
}
