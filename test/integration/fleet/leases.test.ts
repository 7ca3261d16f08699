/** What a host borrows: used through its daemon, ended at the vault, served while the vault is away, and for no longer than it was lent. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StatusView } from '../../../src/api/status.ts';
import type { GrantView } from '../../../src/api/views.ts';
import type { TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { startEcho, startEnrolled, through, until } from './enrolled.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

const directory = temporaryDirectory();
const SECRET = 'SEKRET-marker-borrowed';
let stage: VaultStage;
let echo: Awaited<ReturnType<typeof startEcho>>;
let daemon: TestDaemon;
let home: string;
let key: string;
let url: string;

const grantFor = async (agent: string, more: object = {}): Promise<GrantView> => {
  const { grant } = await stage.api.send<{ grant: GrantView }>('/v1/grants', {
    ...{ credential: 'echo', agent, hosts: [`http://127.0.0.1:${echo.port}`], allow_private: true, allow_plaintext: true },
    ...more,
  });
  return grant;
};

beforeAll(async () => {
  stage = await startVaultStage(directory, { config: '[vault_server]\nlease_ms = 60000\n' });
  echo = await startEcho();
  url = `http://127.0.0.1:${echo.port}/`;
  await stage.api.send('/v1/secrets', {
    ...{ name: 'echo', provider: 'bearer', fields: { token: SECRET } },
  });
  ({ key } = await stage.api.send<{ key: string }>('/v1/agents', { name: 'bot' }));
  home = directory();
  daemon = await startEnrolled(stage, 'web-01', home, ['bot']);
});
afterAll(async () => {
  await daemon.stop();
  await stage.stop();
  await echo.stop();
});

test('a grant of the vault is used through the daemon, with the right secret', async () => {
  await grantFor('bot');
  await until('the grant is here', async () => (await through(daemon, key, url)).status === 200);
  expect(echo.seen.at(-1)).toBe(`Bearer ${SECRET}`);
  const { vault } = await daemon.api<StatusView>('GET', '/v1/status');
  expect(vault).toMatchObject({ url: stage.server.fleet.url, state: 'streaming', reason: null, held: 1 });
});
