/**
 * The journal under a steady load, in the built product: rows that are on disk before they are acknowledged, signed and indexed behind
 * them, at 5,000 a second; and how late that makes the event loop. And what the metrics cost for each request.
 */
import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { closing, opening } from '../integration/journal/samples.ts';
import { median } from './arithmetic.ts';

const dist = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href;
const RATE = 5_000;
const STEP_MS = 10;
const WARM_MS = 1_000;
const RUN_MS = 5_000;
const RESOLUTION_MS = 1;

/** @returns rows acknowledged per second, and the event loop's delay at the 99th percentile in ms */
export async function journalUnderLoad(): Promise<{ readonly auditRate: number; readonly auditStallMs: number }> {
  const { openJournal } = (await import(dist('journal/journal.js'))) as typeof import('../../src/journal/journal.ts');
  const dir = mkdtempSync(join(tmpdir(), 'alterd-bench-load-'));
  const journal = await openJournal({
    dir: join(dir, 'audit'),
    sync: 'before_egress',
    headKey: createSecretKey(Buffer.alloc(32, 7)),
    signingKey: generateKeyPairSync('ed25519').privateKey,
    retentionDays: null,
    onFault: () => {},
  });
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  let acknowledged = 0;
  const end = closing();
  const entry = async (): Promise<void> => {
    const ticket = await journal.open(opening());
    acknowledged += 1;
    ticket.close(end);
  };
  try {
    await paced(WARM_MS, () => void entry().catch(() => {}));
    await journal.stats();
    delay.enable();
    acknowledged = 0;
    const startedAt = performance.now();
    await paced(RUN_MS, () => void entry().catch(() => {}));
    const seconds = (performance.now() - startedAt) / 1000;
    delay.disable();
    return { auditRate: acknowledged / seconds, auditStallMs: delay.percentile(99) / 1e6 - RESOLUTION_MS };
  } finally {
    await journal.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Calls at the rate, however late a timer comes. */
function paced(ms: number, call: () => void): Promise<void> {
  const startedAt = performance.now();
  let made = 0;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const now = Math.min(ms, performance.now() - startedAt);
      for (const due = Math.floor((now * RATE) / 1000); made < due; made += 1) call();
      if (now < ms) return;
      clearInterval(timer);
      resolve();
    }, STEP_MS);
  });
}

/** @returns µs that the metrics cost for each request */
export async function meterMicros(): Promise<number> {
  const { RequestMeter } = (await import(
    dist('metrics/request-meter.js')
  )) as typeof import('../../src/metrics/request-meter.ts');
  const meter = new RequestMeter();
  const rows = ['github', 'openai', 'stripe', null].map((provider_id) => opening({ provider_id }));
  const ends = [closing(), closing({ status: 404, latency_ms: 250 }), closing({ scrubbed: 1 })];
  const costs: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    const startedAt = performance.now();
    for (let i = 0; i < 100_000; i += 1) meter.observe(rows[i & 3] as (typeof rows)[0], ends[i % 3] as (typeof ends)[0]);
    costs.push(((performance.now() - startedAt) * 1000) / 100_000);
  }
  return median(costs.slice(2));
}
