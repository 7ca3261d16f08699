/**
 * Keeps the counters of rate limits over restarts: written once a second while they change, and at the end. What a crash kept from
 * being written is made good from the audit rows, which are durable before a request leaves. May count a request twice, never not at
 * all (S-98).
 */
import { type LimitLedger, limitUse, type SavedLimit } from '../policy/limit-ledger.ts';
import type { PolicySet } from '../policy/policy-set.ts';
import type { RateLimitRow } from '../store/rows.ts';
import type { VaultPolicies } from './policies.ts';

/** What is asked of the audit journal. */
export interface CountedRows {
  export(
    filter: { readonly since: number; readonly kind: 'exchange' },
    onRow: (row: {
      readonly agent_id: string | null;
      readonly grant_id: string | null;
      readonly details: Readonly<Record<string, unknown>> | null;
    }) => void,
  ): Promise<unknown>;
}

const SAVE_AFTER_MS = 1000;
/** A request may wait this long for its body before it is counted, and its row bears the time at which it came. */
const LONGEST_REQUEST_MS = 3_600_000;
/** No rule has such a name. */
const MARK = '-';
const RUNNING = 0;
const STOPPED = 1;

export class LimitKeeper {
  readonly #policies: VaultPolicies;
  readonly #ledger: LimitLedger;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #saving: Promise<void> = Promise.resolve();
  #marked = false;
  #stop: () => void = () => {};

  private constructor(policies: VaultPolicies, ledger: LimitLedger, now: () => number) {
    this.#policies = policies;
    this.#ledger = ledger;
    this.#now = now;
    this.#timer = setInterval(() => void this.#save(RUNNING), SAVE_AFTER_MS).unref();
  }

  /** Makes good what a crash kept from being saved, and saves from then on. @throws AlterError vault_unavailable, audit_unavailable */
  static async open(
    policies: VaultPolicies,
    saved: readonly RateLimitRow[],
    ledger: LimitLedger,
    rows: CountedRows,
    now: () => number = Date.now,
  ): Promise<LimitKeeper> {
    const mark = saved.find(({ key }) => key === MARK);
    if (mark?.state[0] === RUNNING) await replay(policies.set, ledger, rows, mark.at);
    const keeper = new LimitKeeper(policies, ledger, now);
    const begin = async (set: PolicySet): Promise<void> => {
      // The mark has to be there before the first request is counted, or a crash in the first second would look like a clean end.
      if (set.rules.some(({ rule }) => rule.effect === 'limit') && !keeper.#marked) await keeper.#save(RUNNING, true);
    };
    await begin(policies.set);
    keeper.#stop = policies.onChange((set) => void begin(set));
    return keeper;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop();
    await this.#save(STOPPED);
  }

  #save(mark: number, always = mark === STOPPED && this.#marked): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write(mark, always));
    return this.#saving;
  }

  async #write(mark: number, always: boolean): Promise<void> {
    const at = this.#now();
    const changes = this.#ledger.takeChanges();
    if (changes.length === 0 && !always) return;
    try {
      await this.#policies.saveLimits([...changes, { key: MARK, spec: '', state: [mark], at }]);
      this.#marked = true;
    } catch {
      // The next second tries again; a full disk is told by what matters more (the journal, the next change).
      this.#ledger.keepChanges(changes);
    }
  }
}

/** The counters among the rows. */
export const savedLimits = (rows: readonly RateLimitRow[]): SavedLimit[] => rows.filter(({ key }) => key !== MARK);

async function replay(set: PolicySet, ledger: LimitLedger, rows: CountedRows, since: number): Promise<void> {
  const specs = new Map(set.rules.flatMap(({ name, rule }) => (rule.limit === null ? [] : [[name, rule.limit] as const])));
  if (specs.size === 0) return;
  await rows.export({ since: since - LONGEST_REQUEST_MS, kind: 'exchange' }, ({ agent_id, grant_id, details }) => {
    const { limits, counted_at: at } = details ?? {};
    if (typeof limits !== 'string' || typeof at !== 'number' || at < since || agent_id === null || grant_id === null) return;
    for (const name of limits.split(' ')) {
      const spec = specs.get(name);
      if (spec !== undefined) ledger.replay(limitUse(name, agent_id, grant_id, spec), at);
    }
  });
}
