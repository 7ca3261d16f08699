/** Answers that are older than what a host knows: of a replica that is behind, on their way for too long, or of a vault that was restored. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { RemoteVault } from '../../../src/vault-client/remote-vault.ts';
import type { Bundle, Unchanged } from '../../../src/vault-client/vault-calls.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { until } from './enrolled.ts';
import { openRemote } from './remote.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

const directory = temporaryDirectory();
let stage: VaultStage;
let remote: RemoteVault;
let grantId: string;
/** Answers in the place of the vault. */
let late: Bundle | Unchanged | null = null;
let newest: Bundle | Unchanged | null = null;

const statusOf = (id: string): string | undefined => remote.authority.grants.find((grant) => grant.id === id)?.status;

beforeAll(async () => {
  stage = await startVaultStage(directory);
  await stage.api.send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: 'SEKRET-marker-older' } });
  await stage.api.send('/v1/agents', { name: 'bot' });
  const wanted = { credential: 'lent', agent: 'bot', hosts: ['api.good.test'] };
  grantId = (await stage.api.send<{ grant: { id: string } }>('/v1/grants', wanted)).grant.id;
  const host = await stage.enroll('web-01');
  await stage.api.send('/v1/hosts/web-01/assign', { agents: ['bot'] });
  remote = await openRemote(stage, host, {
    tamper: (calls) => {
      const ask = calls.bundle.bind(calls);
      calls.bundle = async (known) => {
        newest = await ask(known);
        return late ?? newest;
      };
    },
  });
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(async () => {
  await remote.close();
  await stage.stop();
});

test('a view that is older than a revocation does not undo it, and is asked for again', async () => {
  expect(statusOf(grantId)).toBe('active');
  const before = newest;
  await until('the stream', () => remote.status.state === 'streaming');
  await stage.api.send('/v1/kill', { kind: 'grant', name: grantId });
  await until('its end', () => statusOf(grantId) === 'revoked');
  late = before;
  await remote.refresh();
  expect(statusOf(grantId)).toBe('revoked');
  late = null;
  await stage.api.send('/v1/agents/bot/status', { status: 'paused' });
  await until('what comes next', () => [...remote.authority.agents.values()][0]?.status === 'paused');

  // A vault that was restored from a backup is older for good: what an operator accepted there counts here.
  late = before;
  vi.useFakeTimers({ toFake: ['performance'] });
  await remote.refresh();
  vi.advanceTimersByTime(14_000);
  await remote.refresh();
  expect(statusOf(grantId)).toBe('revoked');
  vi.advanceTimersByTime(2_000);
  await remote.refresh();
  expect(statusOf(grantId)).toBe('active');
});
