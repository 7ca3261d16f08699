/** What holds between a host and its central vault: a vault and an enrolled daemon, over their real listeners. */
import { request } from 'node:https';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { StatusView } from '../../src/api/status.ts';
import { mintNonce, signedHeaders } from '../../src/crypto/request-signing.ts';
import type { TestDaemon } from '../helpers/daemon.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { startEcho, startEnrolled, through, until } from '../integration/fleet/enrolled.ts';
import { type StageHost, startVaultStage, type VaultStage } from '../integration/fleet/rig.ts';

const LEASE_MS = 3_000;
const SECRET = 'SEKRET-marker-lent-for-a-while';
const BUNDLE = '/v1/host/bundle';
const directory = temporaryDirectory();
let stage: VaultStage;
let echo: Awaited<ReturnType<typeof startEcho>>;
let daemon: TestDaemon;
let host: StageHost;
let key: string;
let url: string;

beforeAll(async () => {
  stage = await startVaultStage(directory, { config: `[vault_server]\nlease_ms = ${LEASE_MS}\n` });
  echo = await startEcho();
  url = `http://127.0.0.1:${echo.port}/`;
  await stage.api.send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: SECRET } });
  ({ key } = await stage.api.send<{ key: string }>('/v1/agents', { name: 'bot' }));
  await stage.api.send('/v1/grants', {
    ...{ credential: 'lent', agent: 'bot', hosts: [`http://127.0.0.1:${echo.port}`] },
    ...{ allow_private: true, allow_plaintext: true },
  });
  host = await stage.enroll('other');
  daemon = await startEnrolled(stage, 'web-01', directory(), ['bot']);
});
afterEach(() => vi.useRealTimers());
afterAll(async () => {
  await daemon.stop();
  await stage.stop();
  await echo.stop();
});

const asked = () => through(daemon, key, url);

function sent(headers: Readonly<Record<string, string>>, target = BUNDLE): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(new URL(target, stage.server.fleet.url), { ca: stage.ca, headers, agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    call.on('error', reject);
    call.end();
  });
}

const signed = (target = BUNDLE): Record<string, string> =>
  signedHeaders(host.answer.host_id, host.keys.signing, {
    ...{ method: 'GET', target, timestamp: Date.now(), nonce: mintNonce(), body: Buffer.alloc(0) },
  });

it('the guard: what was lent is put on requests', async () => {
  await until('the grant is here', async () => (await asked()).status === 200);
  expect(echo.seen.at(-1)).toBe(`Bearer ${SECRET}`);
});

it('S-106 a signed call that was captured is refused the second time, at once and together, and says nothing for another address', async () => {
  const captured = signed();
  expect(await sent(captured)).toBe(200);
  expect(await Promise.all([sent(captured), sent(captured)])).toEqual([401, 401]);
  expect(await sent(signed(), `${BUNDLE}?after=1`)).toBe(401);
  expect(await sent(signed())).toBe(200);
});

it('S-100 without the vault requests are served until the lease ends, and a wall clock that is set back makes that no later', async () => {
  await stage.stop();
  const awayAt = performance.now();
  await until('the daemon notices', async () => (await daemon.api<StatusView>('GET', '/v1/status')).vault?.state === 'away');
  expect((await asked()).status).toBe(200);
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(Date.now() - 3_600_000);
  await until('the end of the lease', async () => (await asked()).status !== 200);
  // The lease may have been renewed in the moment before; the daemon looks at its clocks each second.
  expect(performance.now() - awayAt).toBeLessThan(LEASE_MS + 3_000);
  const count = echo.seen.length;
  expect(await asked()).toMatchObject({ status: 503, error: 'vault_unavailable' });
  expect(echo.seen).toHaveLength(count);
});
