/** What alterd has to reach, as ratios within one run, and what this run measured. A missed goal is reported, never an error. */
import { addedRatioByRound, medianOf, ratioByRound, type Sample } from './arithmetic.ts';
import { VAULT_NAMES } from './names.ts';

const US = 'alterd';

export interface Goal {
  /** What is compared, in words. */
  readonly what: string;
  readonly sense: '≤' | '≥';
  readonly limit: number;
  /** `× nginx`, `MiB`, … */
  readonly unit: string;
  measured(samples: readonly Sample[]): number;
}

export interface Verdict {
  readonly goal: Goal;
  readonly measured: number;
  readonly verdict: 'ok' | 'MISSED' | 'not measured';
}

const against = (
  what: string,
  test: string,
  key: string,
  peer: string,
  sense: Goal['sense'],
  limit: number,
  unit = `× ${peer}`,
): Goal => ({
  what,
  sense,
  limit,
  unit,
  measured: (samples) => ratioByRound(samples, { test, target: US, key }, { test, target: peer, key }),
});

const alone = (what: string, test: string, key: string, sense: Goal['sense'], limit: number, unit: string): Goal => ({
  what,
  sense,
  limit,
  unit,
  measured: (samples) => medianOf(samples, test, US, key),
});

/** Of alterd itself in two tests. */
const between = (what: string, a: string, b: string, key: string, limit: number, unit: string): Goal => ({
  what,
  sense: '≤',
  limit,
  unit,
  measured: (samples) => ratioByRound(samples, { test: a, target: US, key }, { test: b, target: US, key }),
});

const smallRequests = (peer: string, limit: number): Goal[] =>
  [16, 64].map((n) => against(`CPU a small request, ${n} connections`, `ka${n}`, 'cpu', peer, '≤', limit));

/** CPU of a small request with another kind of credential than the stored bearer token of the other rows. */
const besideBearer = (what: string, target: string, limit: number): Goal => ({
  what,
  sense: '≤',
  limit,
  unit: '× a stored token',
  measured: (samples) => ratioByRound(samples, { test: 'ka64', target, key: 'cpu' }, { test: 'ka64', target: US, key: 'cpu' }),
});

const NO_SCRUB = 'alterd-no-scrub';
const UNSCRUBBED = '× without scrubbing';

const [SQLITE, POSTGRES] = VAULT_NAMES;
const LEASE_CALLS = { renew: 'renewals', view: 'whole views', secret: 'secrets' } as const;

const ofVault = (
  what: string,
  target: string,
  test: string,
  key: string,
  sense: Goal['sense'],
  limit: number,
  unit: string,
): Goal => ({ what, sense, limit, unit, measured: (samples) => medianOf(samples, test, target, key) });

/** What does not grow with the grants: within what one run varies by. */
const flat = (what: string, target: string, key: string): Goal => ({
  what,
  sense: '≤',
  limit: 1.3,
  unit: '× with 100',
  measured: (samples) =>
    ratioByRound(samples, { test: 'grants', target, key: `many${key}` }, { test: 'grants', target, key: `few${key}` }),
});

export const GOALS: readonly Goal[] = [
  ...smallRequests('nginx', 1.7),
  ...smallRequests('squid', 0.55),
  ...smallRequests('http-proxy', 0.4),
  {
    what: 'p50 added to direct at 1,000 req/s',
    sense: '≤',
    limit: 1.5,
    unit: '× blind-node',
    measured: (samples) => {
      const figure = (target: string) => ({ test: 'rate1000', target, key: 'p50' });
      return addedRatioByRound(samples, figure(US), figure('blind-node'), figure('direct'));
    },
  },
  against('CPU a new connection', 'newconn', 'cpu', 'squid', '≤', 0.75),
  against('10 MiB down, MiB/s', 'dl10m', 'mibps', 'squid', '≥', 1.6),
  against('10 MiB up, MiB/s', 'up10m', 'mibps', 'squid', '≥', 1.6),
  between('10 MiB down, CPU after two bursts', 'dl10m-after', 'dl10m', 'cpu', 1.1, '× before'),
  between('10 MiB up, CPU after two bursts', 'up10m-after', 'up10m', 'cpu', 1.1, '× before'),
  against('64 KiB answers, MiB/s', 'dl64k', 'mibps', 'squid', '≥', 2),
  against('SSE delay, p50', 'sse', 'p50', 'squid', '≤', 1.5),
  alone('memory, idle', 'memory', 'idle', '≤', 70, 'MiB'),
  alone('memory, an idle connection', 'memory', 'perConnection', '≤', 60, 'KiB'),
  alone('memory after two bursts', 'burst-memory', 'rss', '≤', 160, 'MiB'),
  alone('a leaf', 'micro', 'leafMs', '≤', 0.15, 'ms'),
  against('first visit to a host, p50', 'first-visit', 'p50', 'squid', '≤', 0.5),
  alone('10,000 grants of people and 1,000 agents, indexed', 'micro', 'authorityMs', '≤', 2_000, 'ms'),
  alone('the grant of a user', 'micro', 'resolveUserUs', '≤', 10, 'µs a request'),
  alone('the user of a known token', 'micro', 'knownTokenUs', '≤', 10, 'µs a request'),
  alone('audit on the data-plane thread', 'micro', 'auditUs', '≤', 5, 'µs a request'),
  alone('200 policy rules', 'micro', 'policyUs', '≤', 5, 'µs a decision'),
  alone('an expression of a policy', 'micro', 'celUs', '≤', 3, 'µs'),
  alone('metrics on the data-plane thread', 'micro', 'meterUs', '≤', 1, 'µs a request'),
  alone('audit rows on disk, of 5,000 a second', 'micro', 'auditRate', '≥', 4_900, 'rows/s'),
  alone('event loop late under that load, p99', 'micro', 'auditStallMs', '≤', 20, 'ms'),
  alone('start to listening, existing vault', 'startup', 'ms', '≤', 250, 'ms'),
  between('HTTP/2 from the agent, CPU a request', 'h2', 'ka64', 'cpu', 3, '× HTTP/1.1'),
  against('10 MiB down with scrubbing, MiB/s', 'dl10m', 'mibps', NO_SCRUB, '≥', 0.8, UNSCRUBBED),
  against('CPU a small request with scrubbing', 'ka64', 'cpu', NO_SCRUB, '≤', 1.1, UNSCRUBBED),
  besideBearer('CPU a small request of a connected account', 'alterd-oauth', 1.05),
  besideBearer('CPU a small request with SigV4', 'alterd-sigv4', 2),
  besideBearer('CPU a small request with a warm lease', 'alterd-lease', 1.05),
  ...(['renew', 'view', 'secret'] as const).flatMap((kind) => [
    ofVault(`lease calls on PostgreSQL: ${LEASE_CALLS[kind]}`, POSTGRES, 'leases', `${kind}Rate`, '≥', 1_500, 'calls/s'),
    ofVault(`the same at 750 a second, p99`, POSTGRES, 'leases', `${kind}P99`, '≤', 25, 'ms'),
  ]),
  ...[SQLITE, POSTGRES].flatMap((vault) => [
    ofVault(`${vault}: 1,000 hosts hold their streams`, vault, 'streams', 'held', '≤', 400, 'MiB'),
    ofVault(`${vault}: start with 100,000 grants`, vault, 'grants', 'startMs', '≤', 5_000, 'ms'),
    flat(`${vault}: CPU of a renewal with 100,000 grants`, vault, 'RenewUs'),
    flat(`${vault}: CPU of lending a secret with 100,000 grants`, vault, 'SecretUs'),
    flat(`${vault}: a change with 100,000 grants`, vault, 'ChangeMs'),
  ]),
  ofVault('a daemon: start with 100,000 grants', US, 'grants', 'startMs', '≤', 5_000, 'ms'),
  flat('a daemon: a change with 100,000 grants', US, 'ChangeMs'),
];

/** What became of each goal. */
export function judge(samples: readonly Sample[]): Verdict[] {
  return GOALS.map((goal) => {
    const measured = goal.measured(samples);
    if (!Number.isFinite(measured)) return { goal, measured, verdict: 'not measured' };
    const reached = goal.sense === '≤' ? measured <= goal.limit : measured >= goal.limit;
    return { goal, measured, verdict: reached ? 'ok' : 'MISSED' };
  });
}
