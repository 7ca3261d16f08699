/** A request that waits for its turn under a limit of all hosts: what ends or changes meanwhile is heard, and it is counted once. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { EntryView, GrantView } from '../../../src/api/views.ts';
import { openEmbeddedSource } from '../../../src/daemon/embedded-source.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import { ASK, type SharedLimits } from '../../../src/policy/shared-limits.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { type Answer, startEcho, through, until } from '../fleet/enrolled.ts';

const LIMIT = `name = "all"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "limit"\nlimit = { kind = "fixed_window", requests = 9, per = "1h" }\n`;
const ASKS = `name = "late"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "require_approval"\n`;
const READS = `name = "late"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "deny"\nwhen = { json = [{ pointer = "/a", equals = 1 }] }\n`;

/** The vault's side, as a test moves it. */
const vault = { inHand: 0, taken: 0, waiting: [] as { give: (count: number) => void; fail: (error: AlterError) => void }[] };
const shared: SharedLimits = {
  covers: ({ spec }) => spec.scope === 'fleet',
  waitMs: () => (vault.inHand > 0 ? 0 : ASK),
  take: () => {
    vault.inHand--;
    vault.taken++;
  },
  ask: () =>
    new Promise((resolve, reject) => {
      const give = (count: number): void => {
        vault.inHand += count;
        resolve();
      };
      vault.waiting.push({ give, fail: reject });
    }),
};

let daemon: TestDaemon;
let echo: Awaited<ReturnType<typeof startEcho>>;
let key: string;
let grant: string;

beforeAll(async () => {
  daemon = await startTestDaemon({ openSource: async (options) => ({ ...(await openEmbeddedSource(options)), shared }) });
  echo = await startEcho();
  await daemon.api('POST', '/v1/secrets', { name: 'main', provider: 'bearer', fields: { token: 'SEKRET-marker-turn' } });
  key = (await daemon.agent('bot')).key;
  await daemon.api('POST', '/v1/policies', { toml: LIMIT });
});
beforeEach(async () => {
  Object.assign(vault, { inHand: 0, taken: 0, waiting: [] });
  echo.seen.length = 0;
  const where = { hosts: [`http://127.0.0.1:${echo.port}`], allow_private: true, allow_plaintext: true };
  grant = (await daemon.api<{ grant: GrantView }>('POST', '/v1/grants', { credential: 'main', agent: 'bot', ...where })).grant.id;
  return () => daemon.api('POST', `/v1/grants/${grant}/revoke`).catch(() => {});
});
afterAll(async () => {
  await daemon.stop();
  await echo.stop();
});

const request = (): Promise<Answer> => through(daemon, key, `http://127.0.0.1:${echo.port}/`);

const last = async (): Promise<EntryView | undefined> =>
  (await daemon.api<{ entries: EntryView[] }>('GET', '/v1/audit?kind=exchange&limit=1')).entries[0];

test('three wait, two get their turn, and each is counted once; the third goes on waiting until it is told', async () => {
  const answers = [request(), request(), request()];
  await until('all wait', () => vault.waiting.length === 3);
  const [one, other, third] = vault.waiting.splice(0);
  one?.give(2);
  other?.give(0);
  third?.give(0);
  await until('one waits again', () => vault.waiting.length === 1);
  expect([vault.taken, echo.seen.length <= 2]).toEqual([2, true]);
  vault.waiting[0]?.give(1);
  expect(await Promise.all(answers.map(async (each) => (await await each).status))).toEqual([200, 200, 200]);
  expect([vault.taken, vault.inHand]).toEqual([3, 0]);
  expect((await last())?.details).toMatchObject({ limits: 'all/r' });
});

test('without an answer nothing passes, and the row says which limit it was', async () => {
  const answer = request();
  await until('it waits', () => vault.waiting.length === 1);
  vault.waiting[0]?.fail(new AlterError('vault_unavailable', { reason: 'away' }));
  expect(await await answer).toMatchObject({ status: 503, error: 'vault_unavailable' });
  expect(await last()).toMatchObject({ error: 'vault_unavailable', rule: 'policy.all/r' });
  expect([vault.taken, echo.seen]).toEqual([0, []]);
});

test.each<[string, () => Promise<unknown>, string]>([
  ['its grant was revoked', () => daemon.api('POST', `/v1/grants/${grant}/revoke`), 'grant_revoked'],
  ['a rule came that wants a person', () => daemon.api('POST', '/v1/policies', { toml: ASKS }), 'policy_violation'],
  ['a rule came that is about its body', () => daemon.api('POST', '/v1/policies', { toml: READS }), 'policy_violation'],
])('while it waited %s: it does not pass, whatever the vault gives', async (_what, happens, error) => {
  const answer = request();
  await until('it waits', () => vault.waiting.length === 1);
  await happens();
  vault.waiting[0]?.give(1);
  expect(await await answer).toMatchObject({ status: 403, error });
  expect(echo.seen).toEqual([]);
  await daemon.api('DELETE', '/v1/policies/late').catch(() => {});
});
