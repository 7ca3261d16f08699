/**
 * The journal of an enrolled host, for as long as its rows find their way to the vault: when more than a bound wait, or the thread that
 * sends them is gone, no request begins. What has begun, and every event, is recorded as ever.
 */
import type { AuditClosing, AuditOpening, AuditPort, AuditTicket } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import type { Sinks } from './sinks.ts';
import { VAULT_SINK } from './vault-sink.ts';

export class UnsentGuard implements AuditPort {
  readonly #journal: AuditPort;
  readonly #maxWaiting: number;
  #sinks: Pick<Sinks, 'status' | 'isLost'> | null = null;

  constructor(journal: AuditPort, maxWaiting: number) {
    this.#journal = journal;
    this.#maxWaiting = maxWaiting;
  }

  /** From here on it knows what waits. */
  watch(sinks: Pick<Sinks, 'status' | 'isLost'>): void {
    this.#sinks = sinks;
  }

  open(opening: AuditOpening): Promise<AuditTicket> {
    // SECURITY: a host that keeps its rows from the vault comes to a stop, and does not go on unseen.
    const reason = this.#sinks === null ? null : this.#reason(this.#sinks);
    if (reason === null) return this.#journal.open(opening);
    const hint = 'See why they wait: `alterd status`. Bring the vault back, restart the daemon, or raise vault.max_unsent_rows.';
    return Promise.reject(new AlterError('audit_unavailable', { reason }, { hint }));
  }

  record(opening: AuditOpening, closing: AuditClosing): Promise<string> {
    return this.#journal.record(opening, closing);
  }

  #reason({ status, isLost }: Pick<Sinks, 'status' | 'isLost'>): string | null {
    if (isLost) return 'what sends its rows to the central vault has stopped';
    for (const { name, kind, lag } of status)
      if (kind === 'vault' && name === VAULT_SINK && lag >= this.#maxWaiting) return `${lag} rows wait for the central vault`;
    return null;
  }
}
