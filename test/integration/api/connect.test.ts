import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConnectSessionView, NewConnectSessionView } from '../../../src/api/connect-sessions.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { runInside } from './cli-process.ts';

const PROVIDER = `slug = "files"
name = "Files"
kind = "oauth"
hosts = ["api.files.test"]
evidence = "documented"
docs_url = "https://files.test/docs"
[oauth]
authorize_url = "https://files.test/authorize"
token_url = "https://files.test/token"
[[oauth.scopes]]
name = "read"
label = "Read"
`;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon({ flags: { 'connect.listen': '127.0.0.1:0' } });
  mkdirSync(daemon.paths.providersDir, { recursive: true });
  writeFileSync(join(daemon.paths.providersDir, 'files.toml'), PROVIDER, { mode: 0o600 });
  writeFileSync(join(daemon.paths.providersDir, 'plain.toml'), PROVIDER.replaceAll('files', 'plain').replace('Files', 'Plain'), {
    mode: 0o600,
  });
  await daemon.api('POST', '/v1/reload', {});
  await daemon.api('POST', '/v1/provider-clients', { provider: 'files', client_id: 'of-the-tests' });
  await daemon.agent('bot');
});
afterAll(() => daemon.stop());

const create = (body: object): Promise<NewConnectSessionView> => daemon.api('POST', '/v1/connect/sessions', body);

describe('a Connect session', () => {
  test('is answered with its link, which is told once', async () => {
    const made = await create({
      allowed_providers: ['files'],
      agent: 'bot',
      allowed_origin: 'https://app.example.test',
      return_url: 'https://app.example.test/done',
      grant_policy: { max_ttl_seconds: 86_400 },
      required_scopes: { files: ['read'] },
      requested_grant: { label: 'work', methods: ['GET'] },
      metadata: { end_user: 'u-17' },
    });
    expect(Object.keys(made).toSorted()).toEqual([
      'base_url',
      'connect_url',
      'expires_at',
      'expires_in',
      'id',
      'redirect_uri',
      'session_token',
    ]);
    expect(made.connect_url).toBe(`${made.base_url}/sdk/oauth/connect#session=${made.session_token}`);
    expect(made.redirect_uri).toBe(`${made.base_url}/oauth/callback`);
    expect(made.expires_in).toBe(600);
    const { sessions } = await daemon.api<{ sessions: ConnectSessionView[] }>('GET', '/v1/connect/sessions');
    expect(sessions).toEqual([
      expect.objectContaining({
        id: made.id,
        state: 'waiting',
        providers: ['files'],
        agent: 'bot',
        label: 'work',
        grant_ids: [],
      }),
    ]);
    expect(JSON.stringify(sessions)).not.toContain(made.session_token);
  });

  test.each([
    ['for nobody', {}, 'invalid_input', 'agent: name an agent'],
    ['for two', { agent: 'bot', system: true }, 'invalid_input', 'agent: name an agent'],
    ['for an agent that is not there', { agent: 'nobody' }, 'not_found', 'There is no agent'],
    ['of an unknown provider', { agent: 'bot', allowed_providers: ['nope'] }, 'not_found', 'There is no provider'],
    [
      'of a provider where alterd has no client',
      { agent: 'bot', allowed_providers: ['plain'] },
      'conflict',
      'no OAuth client at Plain',
    ],
    ['of a provider without consent', { agent: 'bot', allowed_providers: ['bearer'] }, 'invalid_input', 'no page for consent'],
    ['with a scope that is none', { agent: 'bot', required_scopes: { files: ['x y'] } }, 'invalid_input', '"x y" is no scope'],
    ['that tells every origin', { agent: 'bot', allowed_origin: '*' }, 'invalid_input', 'allowed_origin'],
    ['with a key that is unknown', { agent: 'bot', ttl: 5 }, 'invalid_input', 'unknown key'],
    ['for a grant that is not there', { grant_id: 'nothing' }, 'not_found', 'There is no grant'],
  ])('%s is refused', async (_what, change, error, detail) => {
    await expect(create({ allowed_providers: ['files'], ...change })).rejects.toMatchObject({
      problem: { error, detail: expect.stringContaining(detail) },
    });
  });
});

describe('alterd connect-session', () => {
  test('prints the link, and lists what can still be used without it', async () => {
    const made = await runInside(daemon.home, [
      'connect-session',
      'create',
      'files',
      '--agent',
      'bot',
      '--ttl',
      '1h',
      '--scope',
      'read',
    ]);
    expect(made.code).toBe(0);
    const link = /http:\S+#session=(\S+)/.exec(made.stdout);
    expect(link).not.toBeNull();
    const list = await runInside(daemon.home, ['connect-session', 'list']);
    expect(list.stdout).toMatch(/waiting +files +bot/);
    expect(list.stdout).not.toContain(link?.[1]);
  });

  test('says who may use it, once', async () => {
    const refused = await runInside(daemon.home, ['connect-session', 'create', 'files', '--agent', 'bot', '--system']);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--agent NAME, --system, or --grant ID')]);
  });
});
