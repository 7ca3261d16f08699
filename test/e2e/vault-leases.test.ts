/**
 * A central vault and the daemon of a host as people run them: what is granted there is used here, what is ended there is refused here;
 * the vault is killed and the host goes on, for as long as it was lent.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ALTERD,
  type AlterdProcess,
  type Ended,
  makeHome,
  plainEnv,
  runProgram,
  startAlterd,
} from '../helpers/alterd-process.ts';
import { findClient } from '../helpers/clients.ts';
import { makePki } from '../helpers/pki.ts';
import { answerJson, configFor, type Provider, startProvider } from './support/provider.ts';

const TOKEN = 'github_pat_SEKRET-marker-leased';
const LEASE_MS = 6_000;
const pki = makePki();
const curl = findClient('curl');
let provider: Provider;
let vault: AlterdProcess;
let daemon: AlterdProcess;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  provider = await startProvider(pki, {
    sites: {
      'api.github.com': (request, response) =>
        answerJson(response, request.headers.authorization === `Bearer ${TOKEN}` ? 200 : 401, { path: request.url }),
    },
  });
  vault = await startAlterd({ verb: ['vault', 'start'], config: `[vault_server]\nlease_ms = ${LEASE_MS}\n` });
  await vault.ok(['secret', 'add', 'github', '--token-stdin'], { input: TOKEN });
  const { key } = await vault.json<{ key: string }>(['agent', 'create', 'bot']);
  await vault.ok(['grant', 'create', 'github', '--agent', 'bot', '--label', 'first', '--allow-private']);
  const { token, command } = await vault.json<{ token: string; command: string }>(['vault', 'host', 'invite', 'web-01']);
  await vault.ok(['vault', 'host', 'assign', 'web-01', '--agent', 'bot']);
  const home = makeHome(configFor(pki, { 'api.github.com:443': provider.port }));
  const tokenFile = join(home, 'token');
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const enrolled = await runProgram(
    process.execPath,
    [ALTERD, '--home', home, ...command.split(' ').slice(1), '--token-file', tokenFile],
    { env: plainEnv(join(home, 'user')) },
  );
  expect(enrolled).toMatchObject({ status: 0 });
  daemon = await startAlterd({ home });
  env = {
    ...plainEnv(join(home, 'user')),
    HTTPS_PROXY: `http://bot:${key}@127.0.0.1:${daemon.port}`,
    CURL_CA_BUNDLE: join(home, 'state', 'ca', 'bundle.pem'),
  };
}, 60_000);
afterAll(async () => {
  await daemon.stop();
  await vault.stop();
  await provider.close();
  rmSync(vault.home, { recursive: true, force: true });
});

const call = (): Promise<Ended> =>
  runProgram('curl', ['-s', '-w', ' %{http_code} %{http_connect}', 'https://api.github.com/user'], { env });

/** Asks until the answer has this status. */
async function untilStatus(status: string, ms: number): Promise<{ readonly text: string; readonly ms: number }> {
  const startedAt = performance.now();
  for (;;) {
    const { stdout } = await call();
    if (stdout.endsWith(` ${status}`)) return { text: stdout, ms: performance.now() - startedAt };
    if (performance.now() - startedAt > ms) throw new Error(`no ${status} within ${ms} ms, but ${stdout}`);
  }
}

if (curl === null) test('not present here: curl', () => {});
else
  test('granted there, used here; ended there, refused here; killed, and served until the lease is over', async () => {
    await untilStatus('200 200', 5_000);
    expect(await daemon.ok(['status'])).toMatch(/vault\s+https:\/\/127\.0\.0\.1:\d+, in touch, changes come at once/);
    const managed = await daemon.cli(['agent', 'create', 'mine']);
    expect([managed.status, managed.stderr]).toEqual([
      5,
      expect.stringContaining('borrows what it may use from the vault at https://'),
    ]);

    await vault.ok(['kill', 'grant', 'first', '--yes']);
    expect((await untilStatus('403 200', 1_500)).text).toContain('grant_revoked');

    await vault.ok(['grant', 'create', 'github', '--agent', 'bot', '--label', 'second', '--allow-private']);
    await untilStatus('200 200', 5_000);
    vault.signal('SIGKILL');
    await vault.ended;
    expect((await call()).stdout).toMatch(/ 200 200$/);
    // Its keys are not known to be good any more either, so that not even a tunnel is opened.
    await untilStatus('000 503', LEASE_MS + 3_000);
    expect((await daemon.cli(['status'])).stdout).toContain('DOES NOT ANSWER');
  }, 60_000);

test('no secret was printed or kept in the open', async () => {
  expect(daemon.printed() + vault.printed()).not.toContain(TOKEN);
});
