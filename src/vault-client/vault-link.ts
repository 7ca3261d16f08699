/**
 * Keeps a host in touch with its vault: the view, then the stream of its changes; while there is no stream, the view once a second. It
 * knows whether the vault answers and since when. What comes is handed on; it decides nothing.
 */
import { type AlterError, toAlterError } from '../domain/errors.ts';
import type { VaultLinkStatus } from '../domain/vault-link.ts';
import { type ClockSource, type Moment, momentOf } from './lease-clock.ts';
import type { Bundle, EventSink, Unchanged, VaultCalls, ViewChanged } from './vault-calls.ts';

const POLL_MS = 1_000;
/** So that a thousand hosts do not come back in the same moment. */
const JITTER = 0.3;

export interface VaultLinkOptions {
  readonly calls: VaultCalls;
  readonly clock: ClockSource;
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void };
  readonly known: () => { readonly epoch: number; readonly digest: string } | null;
  /** @param since when it was asked for: from there on its lease counts */
  readonly onBundle: (bundle: Bundle | Unchanged, since: Moment) => Promise<void>;
  /** Answers false when it can't be used: then the whole view is fetched. */
  readonly onChanged: (change: ViewChanged) => boolean;
  readonly onEnded: (error: AlterError) => void;
}

type State = Exclude<VaultLinkStatus['state'], 'ended'>;

export class VaultLink {
  readonly #options: VaultLinkOptions;
  readonly #abort = new AbortController();
  #state: State = 'away';
  #since = Date.now();
  #answeredAt: number | null = null;
  #reason: string | null = 'it was not asked yet';
  #hasStream = false;
  #streamsLost = 0;
  #polls = 0;
  #refreshing: Promise<void> | null = null;
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};

  constructor(options: VaultLinkOptions) {
    this.#options = options;
  }

  get isAway(): boolean {
    return this.#state === 'away';
  }

  get status(): Pick<VaultLinkStatus, 'state' | 'since' | 'answeredAt' | 'reason' | 'streamsLost' | 'polls'> {
    return {
      ...{ state: this.#state, since: this.#since, answeredAt: this.#answeredAt, reason: this.#reason },
      ...{ streamsLost: this.#streamsLost, polls: this.#polls },
    };
  }

  /** Asks once, and goes on in the background. */
  async start(): Promise<void> {
    await this.refresh();
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    await this.#running;
  }

  /** Fetches the view, or that it is still the same. Never throws. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#fetch().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** The same calls, and what their answers say of the vault. */
  observed(calls: VaultCalls): VaultCalls {
    const observe = async <T>(call: Promise<T>): Promise<T> => {
      try {
        const answer = await call;
        this.#answered();
        return answer;
      } catch (thrown) {
        this.#failed(toAlterError(thrown));
        throw thrown;
      }
    };
    return {
      bundle: (known) => observe(calls.bundle(known)),
      materials: (ids) => observe(calls.materials(ids)),
      renew: (id, version) => observe(calls.renew(id, version)),
      quotas: (asks) => observe(calls.quotas(asks)),
      dropDelegation: (agentId, id) => observe(calls.dropDelegation(agentId, id)),
      events: (after, sink, signal) => calls.events(after, sink, signal),
    };
  }

  async #fetch(): Promise<void> {
    const { calls, known, onBundle } = this.#options;
    const since = momentOf(this.#options.clock);
    try {
      const bundle = await calls.bundle(known()?.digest || null);
      if (this.#abort.signal.aborted) return;
      this.#answered();
      await onBundle(bundle, since);
    } catch (thrown) {
      this.#failed(toAlterError(thrown));
    }
  }

  async #run(): Promise<void> {
    const { calls, known } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const after = known();
      if (after !== null && this.#state !== 'away') {
        await calls.events(after, this.#sink(), signal);
        if (signal.aborted) return;
        if (this.#hasStream) this.#streamsLost++;
        this.#hasStream = false;
        if (this.#state === 'streaming') this.#enter('polling', 'the stream of changes was lost; it is asked every second');
      }
      this.#polls++;
      await this.refresh();
      await this.#pause();
    }
  }

  #sink(): EventSink {
    return {
      onOpen: () => {
        this.#hasStream = true;
        this.#answeredAt = Date.now();
        this.#enter('streaming', null);
      },
      onPing: () => this.#answered(),
      onChanged: (change) => {
        this.#answered();
        if (!this.#options.onChanged(change)) void this.refresh();
      },
      onReset: () => void this.refresh(),
      onEnded: (error) => this.#options.onEnded(error),
    };
  }

  #answered(): void {
    this.#answeredAt = Date.now();
    if (this.#state !== 'away') return;
    if (this.#hasStream) this.#enter('streaming', null);
    else this.#enter('polling', 'it answers again; the stream of changes is not there yet');
  }

  #failed(error: AlterError): void {
    if (this.#abort.signal.aborted) return;
    if (error.code === 'host_inactive') {
      this.#answeredAt = Date.now();
      this.#options.onEnded(error);
      return;
    }
    // Whatever else it answers is an answer; these say that there was none, or none that counts.
    if (NO_ANSWER.has(error.code)) this.#enter('away', error.message);
  }

  #enter(state: State, reason: string | null): void {
    if (this.#state !== state) {
      this.#since = Date.now();
      if (state === 'away') this.#options.log.warn({ reason }, 'the vault does not answer; leases serve until they end');
      else if (this.#state === 'away') this.#options.log.info({}, 'the vault answers');
    }
    this.#state = state;
    this.#reason = reason;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS * (1 - JITTER * Math.random()));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const NO_ANSWER: ReadonlySet<string> = new Set([
  'vault_unavailable',
  'vault_untrusted',
  'host_unauthenticated',
  'clock_skewed',
  'audit_unavailable',
]);
