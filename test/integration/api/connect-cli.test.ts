/** `alterd connect` and `alterd provider client` as people run them, with a browser that is a fetch. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type OAuthStage, providerToml, startOAuthStage } from '../../helpers/oauth-stage.ts';
import { ended, runCli, runInside, spawnCli, untilSaid } from './cli-process.ts';

let stage: OAuthStage;
beforeAll(async () => {
  stage = await startOAuthStage({ toml: providerToml('refresh = "reused"\n[[oauth.scopes]]\nname = "read"\nlabel = "Read"') });
  stage.behaviour.isRotating = false;
  await stage.daemon.api('POST', '/v1/agents', { name: 'ada' });
});
afterAll(() => stage.stop());

const begin = async (...flags: string[]) => {
  const child = spawnCli(stage.daemon.home, ['connect', 'acme', '--allow-private', '--no-browser', ...flags]);
  let said = '';
  let data = '';
  child.stdout?.on('data', (part: Buffer) => (data += part.toString()));
  child.stderr?.on('data', (part: Buffer) => (said += part.toString()));
  const text = await untilSaid(child.stderr, /Waiting for it to come back/);
  const url = new URL(/https:\S+/.exec(text)![0]);
  return { child, url, redirectUri: url.searchParams.get('redirect_uri')!, said: () => said, data: () => data };
};

test('a consent in the browser comes back to the terminal; an answer with another state does not end the wait', async () => {
  const { child, url, redirectUri, said, data } = await begin('--agent', 'ada', '--label', 'work');
  expect(redirectUri).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/);
  const forged = await fetch(`${redirectUri}?state=${'x'.repeat(43)}&code=stolen`);
  expect([forged.status, await forged.text()]).toEqual([400, expect.stringContaining('does not belong')]);
  expect((await fetch(redirectUri.replace('callback', 'other'))).status).toBe(404);
  const { state, code } = stage.consent(url.href);
  const back = await fetch(`${redirectUri}?${new URLSearchParams({ state, code })}`);
  expect([back.status, back.headers.get('content-security-policy'), back.headers.get('cache-control')]).toEqual([
    200,
    expect.stringContaining("default-src 'none'"),
    'no-store',
  ]);
  expect(await back.text()).toContain('Connected');
  expect(await ended(child)).toBe(0);
  expect(data()).toContain('ada');
  expect(said() + data()).not.toContain('SEKRET');
  const list = await runInside(stage.daemon.home, ['grant', 'list']);
  expect(list.stdout).toMatch(/ACCOUNT[\s\S]*ada/);
  const show = await runInside(stage.daemon.home, ['grant', 'show', 'work']);
  expect(show.stdout).toMatch(/scopes +read[\s\S]*tokens +ok/);
});

test('a consent that is refused is told on the page and by the exit status', async () => {
  const { child, url, redirectUri, said } = await begin('--agent', 'ada', '--label', 'denied');
  const state = url.searchParams.get('state')!;
  const back = await fetch(`${redirectUri}?${new URLSearchParams({ state, error: 'access_denied' })}`);
  expect([back.status, await back.text()]).toEqual([400, expect.stringContaining('refused')]);
  expect(await ended(child)).toBe(3);
  expect(said()).toContain('alterd connect acme');
});

test('an address can be pasted, unless it belongs to another consent', async () => {
  const child = spawnCli(stage.daemon.home, [
    'connect',
    'acme',
    '--allow-private',
    '--agent',
    'ada',
    '--label',
    'pasted',
    '--paste',
  ]);
  const url = new URL(/https:\S+/.exec(await untilSaid(child.stderr, /Paste that whole address/))![0]);
  const { state, code } = stage.consent(url.href);
  child.stdin?.end(`${url.searchParams.get('redirect_uri')}?${new URLSearchParams({ state, code })}\n`);
  expect(await ended(child)).toBe(0);
  const input = `http://127.0.0.1:1/callback?state=${'y'.repeat(43)}&code=c`;
  const other = await runCli(stage.daemon.home, ['connect', 'acme', '--system', '--label', 'pasted-2', '--paste'], { input });
  expect([other.code, other.stderr]).toEqual([3, expect.stringContaining('another consent')]);
});

test('a refresh token is taken over from stdin, never from the command line', async () => {
  const refresh = [...stage.goodTokens].find((token) => token.includes('refresh'))!;
  const flags = ['connect', 'acme', '--allow-private', '--agent', 'ada', '--label', 'imported', '--import-refresh-token'];
  const result = await runCli(stage.daemon.home, [...flags, '--output', 'json'], { input: `${refresh}\n` });
  expect(result.stderr).not.toContain('error');
  expect(JSON.parse(result.stdout)).toMatchObject({ provider: 'acme', account_name: 'ada' });
  expect(result.stdout + result.stderr).not.toContain('SEKRET');
});

test('`secret add` takes a refresh token over too, and says who has to be named', async () => {
  const input = `${[...stage.goodTokens].find((token) => token.includes('refresh'))!}\n`;
  const add = (...flags: string[]) =>
    runCli(stage.daemon.home, ['secret', 'add', 'acme', '--refresh-token-stdin', '--allow-private', ...flags], { input });
  const stored = await add('--agent', 'ada', '--label', 'added', '--output', 'json');
  expect([stored.code, JSON.parse(stored.stdout)]).toMatchObject([0, { provider: 'acme', label: 'added', account_name: 'ada' }]);
  expect(stored.stdout + stored.stderr).not.toContain('SEKRET');
  expect((await add()).stderr).toContain('either --agent NAME, --user or --system');
  const spoken = await add('--agent', 'ada', 'SEKRET-marker-argument');
  expect([spoken.code === 0, spoken.stderr]).toEqual([false, expect.stringContaining('never taken from the command line')]);
  expect(spoken.stderr).not.toContain('SEKRET');
  expect((await add('--agent', 'ada', '--name', 'x')).stderr).toContain('--name is not used with --refresh-token-stdin');
  const stray = await runCli(stage.daemon.home, ['secret', 'add', 'github', '--token-stdin', '--agent', 'ada'], { input: 'x' });
  expect(stray.stderr).toContain('alterd grant create');
});

test('a scope that the provider file does not list is a note, and asked for', async () => {
  const refresh = [...stage.goodTokens].find((token) => token.includes('refresh'))!;
  const flags = ['connect', 'acme', '--allow-private', '--agent', 'ada', '--label', 'rare', '--import-refresh-token'];
  const input = `${refresh}\n`;
  const result = await runCli(stage.daemon.home, [...flags, '--scopes', 'read,rare:write', '--output', 'json'], { input });
  expect([result.code, result.stderr]).toEqual([0, expect.stringContaining('does not describe rare:write;')]);
  expect(JSON.parse(result.stdout)).toMatchObject({ scopes: ['rare:write', 'read'] });
});

test('a client is set from stdin, listed without its secret, and removed', async () => {
  const set = await runCli(
    stage.daemon.home,
    ['provider', 'client', 'set', 'acme', '--client-id', 'client-2', '--client-secret-stdin'],
    {
      input: 'SEKRET-marker-other-client\n',
    },
  );
  expect([set.code, set.stdout]).toEqual([0, expect.stringContaining('client-2')]);
  const list = await runInside(stage.daemon.home, ['provider', 'client', 'list']);
  expect(list.stdout).toContain('client-2');
  expect(set.stdout + set.stderr + list.stdout).not.toContain('SEKRET');
  expect((await runInside(stage.daemon.home, ['provider', 'client', 'remove', 'acme', '--yes'])).code).toBe(0);
  const without = await runInside(stage.daemon.home, ['connect', 'acme', '--system', '--no-browser']);
  expect([without.code, without.stderr]).toEqual([5, expect.stringContaining('alterd provider client set acme')]);
});

test.each([
  [['--agent', 'ada', '--system'], 'either --agent NAME, --user or --system'],
  [['--agent', 'ada', '--client-credentials', '--import-refresh-token'], 'choose one'],
  [['--agent', 'ada', '--app-key', '/nonexistent'], '--installation'],
  [['--agent', 'ada', '--port', 'x'], 'is not a port'],
])('%j is refused with words', async (flags, words) => {
  const result = await runInside(stage.daemon.home, ['connect', 'acme', ...flags]);
  expect([result.code, result.stderr]).toEqual([2, expect.stringContaining(words)]);
});

test('the file of a service account that is none says so and shows nothing of it', async () => {
  const file = join(stage.daemon.home, 'account.json');
  writeFileSync(file, '{"private_key":"SEKRET-marker-no-key","client_email":"a@b"}');
  const result = await runCli(stage.daemon.home, ['connect', 'acme', '--system', '--label', 'sa', '--service-account', file]);
  expect([result.code, result.stderr]).toEqual([3, expect.stringContaining('unusable_private_key')]);
  expect(result.stderr).not.toContain('SEKRET');
});
