/** The tables of a run, as text that is also Markdown: medians over the rounds, and ratios that were taken round by round. */
import { medianOf, ratioByRound, type Sample } from './arithmetic.ts';
import { judge } from './goals.ts';
import { TARGET_NAMES, TEST_NAMES, VAULT_NAMES } from './names.ts';

interface Column {
  readonly key: string;
  readonly title: string;
  /** Only where the two are comparable. */
  readonly ratios?: boolean;
}

const CPU: Column = { key: 'cpu', title: 'CPU µs', ratios: true };
const P50: Column = { key: 'p50', title: 'p50 µs' };
const P99: Column = { key: 'p99', title: 'p99 µs' };
const RPS: Column = { key: 'rps', title: 'req/s' };
const ERRORS: Column = { key: 'errors', title: 'errors' };
const SMALL = [CPU, RPS, P50, P99, { key: 'share', title: 'CPU share' }, ERRORS];
const RATE = [{ ...P50, ratios: true }, P99, { key: 'cpu', title: 'CPU µs' }, ERRORS];
const BODY = [{ key: 'mibps', title: 'MiB/s', ratios: true }, CPU, ERRORS];

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  check: [{ key: 'requests', title: 'requests with the credential' }],
  ka1: SMALL,
  ka16: SMALL,
  ka64: SMALL,
  ka256: SMALL,
  h2: SMALL,
  rate200: RATE,
  rate1000: RATE,
  dl64k: BODY,
  dl10m: BODY,
  up10m: BODY,
  'dl10m-after': BODY,
  'up10m-after': BODY,
  sse: [
    { ...P50, ratios: true },
    P99,
    { key: 'first', title: 'first event µs', ratios: true },
    { key: 'streams', title: 'streams' },
    ERRORS,
  ],
  newconn: SMALL,
  bursts: [CPU, { key: 'rss', title: 'RSS MiB after' }, ERRORS],
  memory: [
    { key: 'idle', title: 'idle MiB', ratios: true },
    { key: 'rss256', title: '256 connections' },
    { key: 'rss1000', title: '1,000 connections' },
    { key: 'perConnection', title: 'KiB a connection', ratios: true },
    ERRORS,
  ],
  'burst-memory': [{ key: 'rss', title: 'RSS MiB', ratios: true }, ERRORS],
  'first-visit': [{ ...P50, ratios: true }, P99, CPU, ERRORS],
  startup: [{ key: 'ms', title: 'ms', ratios: true }],
  micro: [
    { key: 'auditUs', title: 'audit µs' },
    { key: 'leafMs', title: 'leaf ms' },
    { key: 'decisionUs', title: 'decision µs' },
    { key: 'authorityMs', title: '10,000 grants ms' },
    { key: 'resolveUserUs', title: 'grant of a user µs' },
    { key: 'knownTokenUs', title: 'known token µs' },
    { key: 'policyUs', title: '200 rules µs' },
    { key: 'celUs', title: 'expression µs' },
    { key: 'meterUs', title: 'metrics µs' },
    { key: 'auditRate', title: 'audit rows/s' },
    { key: 'auditStallMs', title: 'audit stall p99 ms' },
  ],
};

const LEASE_KINDS = [
  ['renew', 'renewal'],
  ['view', 'whole view'],
  ['secret', 'secret'],
] as const;

const FLEET_COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  leases: LEASE_KINDS.flatMap(([key, what]) => [
    { key: `${key}Rate`, title: `${what}: calls/s` },
    { key: `${key}Us`, title: 'CPU µs' },
    { key: `${key}DatabaseUs`, title: 'database CPU µs' },
    { key: `${key}P50`, title: 'p50 ms at 750/s' },
    { key: `${key}P99`, title: 'p99 ms' },
  ]),
  streams: [
    { key: 'idle', title: 'idle MiB' },
    { key: 'held', title: 'MiB with 1,000 hosts' },
    { key: 'told50', title: 'told of a revocation, p50 ms' },
    { key: 'told99', title: 'p99 ms' },
  ],
  grants: [
    { key: 'startMs', title: 'start ms, 100,000 grants' },
    { key: 'startCpuMs', title: 'its CPU ms' },
    { key: 'fewRenewUs', title: 'renewal CPU µs, 100 grants' },
    { key: 'manyRenewUs', title: '100,000' },
    { key: 'fewSecretUs', title: 'secret CPU µs, 100 grants' },
    { key: 'manySecretUs', title: '100,000' },
    { key: 'fewChangeMs', title: 'change ms, 100 grants' },
    { key: 'manyChangeMs', title: '100,000' },
    { key: 'fewChangeCpuMs', title: 'change CPU ms, 100 grants' },
    { key: 'manyChangeCpuMs', title: '100,000' },
    { key: 'fewRss', title: 'RSS MiB, 100 grants' },
    { key: 'manyRss', title: '100,000' },
  ],
};

const TITLES: Readonly<Record<string, string>> = {
  check: 'check: the origin sees the credential',
  ka1: 'ka1: 200 B of JSON over 1 kept-alive connection, as fast as it goes; CPU of the target for each request',
  h2: 'h2: HTTP/2 from the agent, 4 connections of 16 requests at once',
  rate200: 'rate200: 200 requests a second, latency from the scheduled time',
  rate1000: 'rate1000: 1,000 requests a second, latency from the scheduled time',
  sse: 'sse: 50 streams, an event each 50 ms, from the origin’s write to the client’s read',
  newconn: 'newconn: TCP, CONNECT, full TLS handshake and one request',
  bursts: 'bursts: two bursts of new connections',
  memory: 'memory: a fresh process',
  'burst-memory': 'burst-memory: a fresh process after two bursts of new connections',
  'first-visit': 'first-visit: 100 hosts once each, a fresh process',
  startup: 'startup: from the start of the process until it listens',
  micro: 'micro: inside the built product',
  leases: 'leases: calls of 100 hosts at one replica of a central vault, as fast as they go; p50 and p99 at 750 a second',
  streams: 'streams: 1,000 hosts hold their streams at one replica',
  grants: 'grants: the same with 100 and with 100,000 grants in the vault',
};

/** Ratio columns, for those of them that were measured. */
const REFERENCES = ['nginx', 'squid', 'http-proxy', 'blind-node', 'direct'];

export function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  if (value >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(value < 0.1 ? 3 : 2);
}

function tableOf(samples: readonly Sample[], test: string): string[] {
  const columns = COLUMNS[test] ?? FLEET_COLUMNS[test] ?? [];
  const inTest = samples.filter((sample) => sample.test === test);
  const targets = [...TARGET_NAMES, ...VAULT_NAMES].filter((name) => inTest.some((sample) => sample.target === name));
  const heads: string[] = [];
  const cellsOf: ((target: string) => string)[] = [];
  for (const { key, title, ratios } of columns) {
    heads.push(title);
    cellsOf.push((target) => number(medianOf(inTest, test, target, key)));
    if (ratios !== true) continue;
    for (const reference of REFERENCES.filter((name) => Number.isFinite(medianOf(inTest, test, name, key)))) {
      heads.push(`÷ ${reference}`);
      cellsOf.push((target) => number(ratioByRound(inTest, { test, target, key }, { test, target: reference, key })));
    }
  }
  const rows = targets.map((target) => {
    const failed = inTest.filter((sample) => sample.target === target && sample.failed !== undefined);
    const note = failed.length === 0 ? '' : ` (${failed.length} failed: ${failed[0]?.failed?.replaceAll('|', '/')})`;
    return [`${target}${note}`, ...cellsOf.map((cell) => cell(target))];
  });
  return markdownTable(['target', ...heads], rows);
}

function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = heads.map((head, i) => Math.max(head.length, 3, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(heads), rule, ...rows.map(line)];
}

function goalsTable(samples: readonly Sample[]): string[] {
  const rows = judge(samples).map(({ goal, measured, verdict }) => [
    goal.what,
    `goal ${goal.sense} ${goal.limit} ${goal.unit}`,
    Number.isFinite(measured) ? `measured ${number(measured)}` : '–',
    verdict,
  ]);
  return markdownTable(['alterd', 'goal', 'this run', 'verdict'], rows);
}

/** All tables and the goals. */
export function reportOf(samples: readonly Sample[], notes: readonly string[]): string {
  const lines: string[] = [];
  for (const test of TEST_NAMES) {
    if (test === 'warm' || !samples.some((sample) => sample.test === test)) continue;
    lines.push(`### ${TITLES[test] ?? test}`, '', ...tableOf(samples, test), '');
  }
  lines.push('### Goals', '', ...goalsTable(samples), '');
  if (notes.length > 0) lines.push('### Not measured', '', ...notes.map((note) => `- ${note}`), '');
  return lines.join('\n');
}
