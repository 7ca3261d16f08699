/**
 * A vault with one connected account, in this process or, run as a program, in one that is killed: it prints each point that a refresh
 * has reached and stops at the one that is named. The provider is the HttpsCall port; database, sealing and clock are real.
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ProviderSpec } from '../../../src/config/provider.ts';
import { parseProvider } from '../../../src/config/provider.ts';
import { loadMasterKey } from '../../../src/crypto/master-key.ts';
import type { HttpsCall } from '../../../src/domain/https-call.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { openVault, type Vault } from '../../../src/vault/vault.ts';
import { MemoryJournal } from '../../contract/vault/fixtures.ts';

export const SPEC: ProviderSpec = parseProvider(
  `slug = "acme"
name = "Acme"
kind = "oauth"
evidence = "general"
hosts = ["api.acme.test"]
[oauth]
authorize_url = "https://auth.acme.test/authorize"
token_url = "https://auth.acme.test/token"
revoke_url = "https://auth.acme.test/revoke"
refresh = "rotating"
`,
  'acme.toml',
);

export interface AccountVault {
  readonly vault: Vault;
  readonly journal: MemoryJournal;
  readonly clock: { now: number };
}

export async function openAccountVault(home: string, https: HttpsCall, upkeepEveryMs?: number): Promise<AccountVault> {
  const journal = new MemoryJournal();
  const clock = { now: Date.now() };
  const vault = await openVault({
    dbFile: join(home, 'vault.db'),
    catalogue: { find: (slug) => (slug === 'acme' ? SPEC : undefined) },
    audit: journal,
    https,
    upkeepEveryMs,
    now: () => clock.now,
    masterKey: (recorded) =>
      loadMasterKey({ keyFile: join(home, 'master.key'), recordedSource: recorded?.source, create: true, environment: {} }),
  });
  return { vault, journal, clock };
}

/** Imports refresh token number 0; the answer brings number 1. */
export async function connectAccount(vault: Vault): Promise<void> {
  await vault.clients.set({ provider: 'acme', clientId: 'client', clientSecret: new Secret('SEKRET-marker-client') });
  await vault.connect.connectWith({
    provider: 'acme',
    system: true,
    flow: 'refresh_token',
    inputs: new Map([['refresh_token', new Secret('SEKRET-marker-refresh-0')]]),
  });
}

/** Answers refresh token N with number N+1. */
export const answerTo = (body: Buffer | undefined, expiresInS = 3600): Awaited<ReturnType<HttpsCall>> => {
  const sent = Number(/refresh-(\d+)/.exec(new URLSearchParams(body?.toString()).get('refresh_token') ?? '')?.[1]);
  return answered(200, {
    access_token: `SEKRET-marker-access-${sent + 1}`,
    refresh_token: `SEKRET-marker-refresh-${sent + 1}`,
    expires_in: expiresInS,
  });
};

export const answered = (status: number, body: unknown): Awaited<ReturnType<HttpsCall>> => ({
  status,
  contentType: 'application/json',
  retryAfterS: null,
  body: Buffer.from(JSON.stringify(body)),
});

const [, program, home, stopAt] = process.argv;
if (program === import.meta.filename && home !== undefined) {
  const forever = new Promise<never>(() => setInterval(() => {}, 60_000));
  const reach = async (point: string): Promise<void> => {
    writeSync(1, `${point}\n`);
    if (point === stopAt) await forever;
  };
  let calls = 0;
  const { vault, journal, clock } = await openAccountVault(home, async ({ body }) => {
    if (++calls > 1) await reach('asked');
    return answerTo(body);
  });
  await connectAccount(vault);
  const record = journal.record.bind(journal);
  journal.record = async (opening, closing) => {
    if (opening.action === 'oauth.refreshed') await reach('answered');
    return record(opening, closing);
  };
  clock.now += 2 * 3_600_000;
  await vault.obtain(vault.authority.grants[0]!);
  await reach('stored');
}
