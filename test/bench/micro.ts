/**
 * Small costs inside the built product, in one process: a journal entry on the data-plane thread, a leaf, a decision.
 * Every value is the median of some repetitions after warm-up.
 */
import { createSecretKey, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closing, opening } from '../integration/journal/samples.ts';
import { median } from './arithmetic.ts';
import { decisionMicros, policyMicros } from './micro-decision.ts';
import { identityCosts } from './micro-identity.ts';
import { journalUnderLoad, meterMicros } from './micro-journal.ts';

const dist = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href;
const AT_ONCE = 16;
const PER_ROUND = 8_000;
const PER_SLICE = 1_600;
const ROUNDS = 9;

/** CPU of this thread alone, in microseconds: the journal's worker has its own. */
function threadMicros(): number {
  const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ');
  return Number(nanoseconds) / 1000;
}

async function auditMicros(): Promise<number> {
  const { openJournal } = (await import(dist('journal/journal.js'))) as typeof import('../../src/journal/journal.ts');
  const dir = mkdtempSync(join(tmpdir(), 'alterd-bench-journal-'));
  const headKey = createSecretKey(Buffer.alloc(32, 7));
  const journal = await openJournal({
    dir: join(dir, 'audit'),
    sync: 'interval',
    headKey,
    retentionDays: null,
    onFault: () => {},
  });
  const one = opening();
  const end = closing();
  const entry = async (): Promise<void> => (await journal.open(one)).close(end);
  const costs: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      let cost = 0;
      for (let done = 0; done < PER_ROUND; done += PER_SLICE) {
        const before = threadMicros();
        for (let part = 0; part < PER_SLICE; part += AT_ONCE) {
          const group: Promise<void>[] = [];
          for (let i = 0; i < AT_ONCE; i++) group.push(entry());
          await Promise.all(group);
        }
        cost += threadMicros() - before;
        // Until the writer has caught up: a backlog is another test, and refuses.
        await journal.stats();
      }
      costs.push(cost / PER_ROUND);
    }
  } finally {
    await journal.close();
    rmSync(dir, { recursive: true, force: true });
  }
  return median(costs.slice(2));
}

async function leafMillis(): Promise<number> {
  const { initAuthority } = (await import(dist('ca/authority.js'))) as typeof import('../../src/ca/authority.ts');
  const { LeafIssuer } = (await import(dist('ca/leaf.js'))) as typeof import('../../src/ca/leaf.ts');
  const dir = mkdtempSync(join(tmpdir(), 'alterd-bench-ca-'));
  const sealKey = { seal: (plain: Uint8Array) => Buffer.from(plain), open: (sealed: Uint8Array) => Buffer.from(sealed) };
  try {
    const issuer = new LeafIssuer(initAuthority(join(dir, 'ca'), { sealKey }));
    const costs: number[] = [];
    for (let i = 0; i < 2_000; i++) {
      const host = `${randomUUID()}.bench.test`;
      const startedAt = performance.now();
      issuer.mintLeaf(host, 0);
      costs.push(performance.now() - startedAt);
    }
    return median(costs.slice(500));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** @returns the journal, the decision and the metrics in µs for each request, a leaf in ms, and the journal under load */
export async function microCosts(): Promise<Readonly<Record<string, number>>> {
  const { rulesUs, celUs } = await policyMicros();
  return {
    auditUs: await auditMicros(),
    leafMs: await leafMillis(),
    decisionUs: await decisionMicros(),
    ...(await identityCosts()),
    policyUs: rulesUs,
    celUs,
    meterUs: await meterMicros(),
    ...(await journalUnderLoad()),
  };
}
