/**
 * What people cost: an authority of 10,000 grants and 1,000 agents, opened and compiled; the grant of one user among many; the user of
 * a token that was verified before. On the built modules.
 */
import { createSecretKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { compileAuthority as CompileAuthority } from '../../src/policy/resolve.ts';
import type { StoreChange } from '../../src/store/rows.ts';
import { agentRow, credentialRow, delegationRow, userRow } from '../contract/store/store-rows.ts';
import { median } from './arithmetic.ts';
import { BENCH_CALLER, BENCH_DESTINATION, benchGrant } from './micro-decision.ts';

const dist = (file: string): string => new URL(`../../dist/${file}`, import.meta.url).href;
const GRANTS = 10_000;
const AGENTS = 1_000;
const PER_ROUND = 20_000;
const ROUNDS = 7;

/** Every grant is a user's and delegated to one agent: ten to each. */
function bigVault(): StoreChange[] {
  const people = Array.from({ length: AGENTS }, (_, n) => n);
  const numbers = Array.from({ length: GRANTS }, (_, n) => n);
  return [
    ...people.map((n) => ({ put: 'agent', row: agentRow(`agent-${n}`) }) as const),
    ...people.map((n) => ({ put: 'user', row: userRow(`user-${n}`, { groups: ['staff'] }) }) as const),
    { put: 'credential', row: credentialRow('credential') },
    ...numbers.map((n): StoreChange => {
      const { credentialName: _name, ...grant } = benchGrant(n);
      return {
        put: 'grant',
        row: { ...grant, credentialId: 'credential', principal: { type: 'user', userId: `user-${n % AGENTS}` } },
      };
    }),
    ...numbers.map(
      (n): StoreChange => ({
        put: 'delegation',
        row: delegationRow(`delegation-${n}`, `user-${n % AGENTS}`, `agent-${Math.floor(n / 10) % AGENTS}`, benchGrant(n).id, {
          expiresAt: 1_000_000,
        }),
      }),
    ),
  ];
}

/** As at a start: rows out of the database, their MAC, the authority, and the first view of every agent. */
async function loaded(
  compile: typeof CompileAuthority,
): Promise<{ readonly compiled: ReturnType<typeof CompileAuthority>; readonly authorityMs: number }> {
  const { openSqliteStore } = (await import(
    dist('store/sqlite/sqlite-store.js')
  )) as typeof import('../../src/store/sqlite/sqlite-store.ts');
  const { macOf } = (await import(dist('vault/integrity.js'))) as typeof import('../../src/vault/integrity.ts');
  const { authorityOf } = (await import(dist('vault/authority.js'))) as typeof import('../../src/vault/authority.ts');
  const dir = mkdtempSync(join(tmpdir(), 'alterd-bench-authority-'));
  try {
    const store = await openSqliteStore({ dbFile: join(dir, 'vault.db') });
    await store.apply(bigVault(), 0);
    const before = process.cpuUsage();
    const snapshot = await store.load();
    macOf(createSecretKey(Buffer.alloc(32, 7)), snapshot);
    const compiled = compile(authorityOf(snapshot, 1));
    for (let n = 0; n < AGENTS; n++) compiled.candidates(`agent-${n}`, BENCH_DESTINATION, `user-${(n * 10) % AGENTS}`);
    const { user, system } = process.cpuUsage(before);
    const authorityMs = (user + system) / 1000;
    await store.close();
    return { compiled, authorityMs };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** @returns milliseconds for the first view of every agent, microseconds for a grant, microseconds for a known token */
export async function identityCosts(): Promise<{ authorityMs: number; resolveUserUs: number; knownTokenUs: number }> {
  const { compileAuthority, resolveGrant } = (await import(
    dist('policy/resolve.js')
  )) as typeof import('../../src/policy/resolve.ts');
  const { NO_SELECTORS } = (await import(dist('domain/selectors.js'))) as typeof import('../../src/domain/selectors.ts');
  const { UserTokens } = (await import(dist('identity/user-tokens.js'))) as typeof import('../../src/identity/user-tokens.ts');
  const { compiled, authorityMs } = await loaded(compileAuthority);

  const caller = { ...BENCH_CALLER, agentId: 'agent-0' };
  // Grant 0 is of user 0, delegated to agent 0, and names the destination.
  const resolveUserUs = costOf(
    (n) => resolveGrant(compiled, caller, BENCH_DESTINATION, NO_SELECTORS, null, n, 'user-0').id.length,
  );

  const now = Date.now();
  const claims = { issuer: '', subject: 's', email: null, name: null, groups: [], issuedAt: now, expiresAt: now + 3_600_000 };
  const tokens = new UserTokens({
    verifier: { verify: async () => claims } as unknown as ConstructorParameters<typeof UserTokens>[0]['verifier'],
    users: { admit: () => userRow('user-0') },
    issuers: () => [{}] as never,
  });
  const texts = Array.from({ length: 16 }, (_, n) => `${'x'.repeat(1_200)}${n}`);
  for (const text of texts) await tokens.identifyUser(text);
  const knownTokenUs = costOf((n) => {
    // As it comes from a socket: a string of its own each time.
    const text = Buffer.from(texts[n % texts.length] as string, 'latin1').toString('latin1');
    const user = tokens.identifyUser(text);
    return user instanceof Promise ? 0 : user.userId.length;
  });
  return { authorityMs, resolveUserUs, knownTokenUs };
}

function costOf(one: (n: number) => number): number {
  const costs: number[] = [];
  let total = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let n = 0; n < PER_ROUND; n++) total += one(n);
    const { user, system } = process.cpuUsage(before);
    costs.push((user + system) / PER_ROUND);
  }
  if (total === 0) throw new Error('nothing was resolved');
  return median(costs.slice(2));
}
