/** The one listener that browsers reach, as a web page and as a stranger on the machine would try it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../helpers/daemon.ts';
import { freePort } from '../helpers/free-port.ts';

const PROVIDER = `slug = "files"
name = "Files"
kind = "oauth"
hosts = ["api.files.test"]
evidence = "documented"
docs_url = "https://files.test/docs"
[oauth]
authorize_url = "https://files.test/authorize"
token_url = "https://files.test/token"
`;

interface Made {
  readonly session_token: string;
  readonly connect_url: string;
  readonly base_url: string;
}

let daemon: TestDaemon;
let made: Made;
let port: number;

async function startWith(listen: string): Promise<TestDaemon> {
  const started = await startTestDaemon({ flags: { 'connect.listen': listen } });
  mkdirSync(started.paths.providersDir, { recursive: true });
  writeFileSync(join(started.paths.providersDir, 'files.toml'), PROVIDER, { mode: 0o600 });
  await started.api('POST', '/v1/reload', {});
  await started.api('POST', '/v1/provider-clients', { provider: 'files', client_id: 'of-the-tests' });
  await started.agent('bot');
  return started;
}

const newSession = (of: TestDaemon): Promise<Made> =>
  of.api<Made>('POST', '/v1/connect/sessions', { allowed_providers: ['files'], agent: 'bot' });

beforeAll(async () => {
  daemon = await startWith('127.0.0.1:0');
  made = await newSession(daemon);
  port = Number(new URL(made.base_url).port);
});
afterAll(() => daemon.stop());

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

function send(method: string, path: string, headers: Readonly<Record<string, string>>, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(parts).toString() }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

describe('the Connect page', () => {
  it('S-78 serves no part of the API, under no name, with no key', async () => {
    for (const path of ['/v1/secrets', '/v1/grants', '/v1/connect/sessions', '/v1/status'])
      expect((await send('GET', path, { host: `127.0.0.1:${port}` })).status).toBe(404);
  });

  it('S-78 answers under its own name alone, so that a rebound name is no way in', async () => {
    for (const host of ['evil.test', `evil.test:${port}`, `localhost:${port}`, `127.0.0.1.evil.test:${port}`, '127.0.0.1'])
      for (const path of ['/sdk/oauth/connect', '/oauth/callback', '/page/connect.js', '/anything'])
        expect([host, (await send('GET', path, { host })).status]).toEqual([host, 403]);
    expect((await send('GET', '/sdk/oauth/connect', { host: `127.0.0.1:${port}` })).status).toBe(200);
  });

  it('S-78 takes a step from its own page only: no other origin, no form, no frame, and no header invites one', async () => {
    const good = { host: `127.0.0.1:${port}`, origin: made.base_url, 'content-type': 'application/json' };
    const body = JSON.stringify({ session_token: made.session_token });
    const answers = [];
    const wrongs: Record<string, string>[] = [
      { origin: 'null' },
      { origin: 'http://evil.test' },
      { origin: `http://localhost:${port}` },
      { origin: `http://127.0.0.1:${port + 1}` },
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'sec-fetch-site': 'cross-site' },
    ];
    for (const wrong of wrongs) answers.push(await send('POST', '/sdk/oauth/connect/redeem', { ...good, ...wrong }, body));
    answers.push(
      await send('OPTIONS', '/sdk/oauth/connect/redeem', { ...good, 'access-control-request-method': 'POST' }),
      await send('GET', '/sdk/oauth/connect', { host: good.host, 'sec-fetch-dest': 'iframe' }),
    );
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 415, 415, 403, 405, 403]);
    for (const { headers } of answers) {
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
      expect(headers['x-frame-options']).toBe('DENY');
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    }
    // None of them has spent the token: only its person does.
    expect((await send('POST', '/sdk/oauth/connect/redeem', good, body)).status).toBe(200);
  });

  it('S-78 puts the token behind the "#", and neither it nor a code is in the log or the journal', async () => {
    expect(made.connect_url).toBe(`${made.base_url}/sdk/oauth/connect#session=${made.session_token}`);
    await send('GET', '/oauth/callback?code=SEKRET-marker-code&state=SEKRET-marker-state', { host: `127.0.0.1:${port}` });
    const { entries } = await daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit');
    expect(entries.map(({ action }) => action)).toContain('connect.session_created');
    const written = JSON.stringify([entries, daemon.logged]);
    expect(written).not.toContain(made.session_token);
    expect(written).not.toContain('SEKRET');
  });

  it('S-78 has no port before somebody needs it, and none when it is off', async () => {
    const off = await startWith('off');
    await expect(newSession(off)).rejects.toMatchObject({ problem: { error: 'conflict' } });
    await off.stop();
    const where = await freePort();
    const quiet = await startWith(`127.0.0.1:${where}`);
    expect(await isAnswered(where)).toBe(false);
    await newSession(quiet);
    expect(await isAnswered(where)).toBe(true);
    await quiet.stop();
    expect(await isAnswered(where)).toBe(false);
  });
});

function isAnswered(at: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(at, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
