/** Values that are kept elsewhere: files, variables, commands, a KV server; what goes wrong with each, and that nothing of it is told. */

import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { expectedSignature, partsOf } from '../../helpers/aws-verifier.ts';
import { callApi, startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';
import { readAnswer, Wire } from '../proxy/rig.ts';

const API = 'api.good.test';
const KV = 'kv.good.test';
const STS = 'sts.eu-west-1.amazonaws.com';
let pki: TestPki;
let daemon: TestDaemon;
let origin: TestOrigin;
let dir: string;
let count = 0;

beforeAll(async () => {
  pki = makePki();
  dir = mkdtempSync(join(tmpdir(), 'alterd-sources-'));
  origin = await startOrigin(pki);
  const routes = [API, KV, STS].map((host) => `"${host}:443" = "127.0.0.1:${origin.port}"`);
  daemon = await startTestDaemon({
    config: `allow_private = ["${STS}:443"]\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${routes.join(', ')} }\n`,
  });
});
afterAll(async () => {
  await daemon.stop();
  await origin.close();
  for (const path of [dir, pki.dir]) rmSync(path, { recursive: true, force: true });
});

const file = (name: string, text: string, mode = 0o600): string => {
  const path = join(dir, name);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
};
const add = (source: string, lifetimeMs?: number): Promise<{ secret: { name: string } }> =>
  daemon.api('POST', '/v1/secrets', {
    name: `s-${++count}`,
    provider: 'bearer',
    sources: { fields: { token: source }, ...(lifetimeMs === undefined ? {} : { lifetime_ms: lifetimeMs }) },
    hosts: [API],
  });
/** An agent with a grant for the secret: asks once, and answers the status and what arrived. */
async function asker(
  credential: string,
): Promise<() => Promise<{ status: number; body: string; authorization: string | undefined }>> {
  const name = `bot-${credential}`;
  const { authorization } = await daemon.agent(name);
  await daemon.api('POST', '/v1/grants', { credential, agent: name, hosts: [API], allow_private: true });
  return async () => {
    const socket = connectTcp({ port: daemon.port, host: '127.0.0.1' });
    await once(socket, 'connect');
    socket.write(`CONNECT ${API}:443 HTTP/1.1\r\nHost: ${API}:443\r\nProxy-Authorization: ${authorization}\r\n\r\n`);
    await once(socket, 'data');
    const secure = connectTls({ socket, servername: API, ca: daemon.running.ca().pem });
    await once(secure, 'secureConnect');
    const before = origin.arrivals.length;
    const wire = new Wire(secure);
    wire.write(`GET / HTTP/1.1\r\nHost: ${API}\r\n\r\n`);
    const { status, body } = await readAnswer(wire);
    wire.socket.destroy();
    const arrived = origin.arrivals.slice(before).find((each) => each.servername === API);
    return { status, body, authorization: arrived?.headers.authorization as string | undefined };
  };
}
const problemOf = (source: string): Promise<string> =>
  add(source).then(
    () => 'added',
    (error: Error) => error.message,
  );

it('a file is read, and read again when it changes', async () => {
  const path = file('token', 'SEKRET-marker-file-1\n');
  const { secret } = await add(`file:${path}`);
  const ask = await asker(secret.name);
  expect((await ask()).authorization).toBe('Bearer SEKRET-marker-file-1');
  writeFileSync(path, 'SEKRET-marker-file-2\n');
  await expect
    .poll(async () => (await ask()).authorization, { timeout: 5_000, interval: 100 })
    .toBe('Bearer SEKRET-marker-file-2');
  expect(JSON.stringify(await daemon.api('GET', `/v1/secrets/${secret.name}`))).toContain(`file:${path}`);
});

it('a file that is gone ends the use of what it held; no answer says where it was', async () => {
  const path = file('gone', 'SEKRET-marker-gone');
  const { secret } = await add(`file:${path}`);
  const ask = await asker(secret.name);
  expect((await ask()).status).toBe(200);
  rmSync(path);
  await expect.poll(async () => (await ask()).status, { timeout: 5_000, interval: 100 }).toBe(503);
  const { body } = await ask();
  expect(JSON.parse(body)).toMatchObject({ error: 'credential_unavailable', detail: expect.stringContaining('source_missing') });
  expect(body).not.toContain(dir);
});

it('a variable of the daemon, and a command with its lifetime', async () => {
  process.env.ALTER_TEST_TOKEN = 'SEKRET-marker-env';
  const ask = await asker((await add('env:ALTER_TEST_TOKEN')).secret.name);
  delete process.env.ALTER_TEST_TOKEN;
  // It was read when it was named; the grant's first request reads it again.
  expect((await ask()).body).toContain('source_missing');
  process.env.ALTER_TEST_TOKEN = 'SEKRET-marker-env';
  const counter = file('counter', '');
  const script = file(
    'run.sh',
    `#!/bin/sh\necho x >> ${counter}\necho "SEKRET-marker-command-$(wc -l < ${counter} | tr -d ' ')-$ALTER_TEST_TOKEN"\n`,
    0o700,
  );
  const askCommand = await asker((await add(`command:["${script}"]`, 1_000)).secret.name);
  expect((await askCommand()).authorization).toBe('Bearer SEKRET-marker-command-2-');
  expect((await askCommand()).authorization).toBe('Bearer SEKRET-marker-command-2-');
  await expect
    .poll(async () => (await askCommand()).authorization, { timeout: 5_000, interval: 200 })
    .toMatch(/^Bearer SEKRET-marker-command-[3-9]-$/);
  delete process.env.ALTER_TEST_TOKEN;
});

it.each([
  ['a file that others can read', () => `file:${file('open', 'SEKRET-marker', 0o604)}`, 'source_not_private'],
  ['a file that is missing', () => `file:${join(dir, 'nowhere')}`, 'source_missing'],
  ['an empty file', () => `file:${file('empty', '\n')}`, 'source_empty'],
  ['a directory', () => `file:${dir}`, 'source_unreadable'],
  ['a device', () => 'file:/dev/zero', 'source_unreadable'],
  ['a long file', () => `file:${file('long', 'x'.repeat(70_000))}`, 'source_too_long'],
  ['two lines where one goes', () => `file:${file('lines', 'SEKRET-marker\nmore')}`, 'value_malformed'],
  ['a placeholder', () => `file:${file('ph', 'alter_ph_SEKRET-marker')}`, 'value_malformed'],
  ['a variable that is not set', () => 'env:ALTER_TEST_ABSENT', 'source_missing'],
  ['a command that fails', () => `command:["/bin/sh","-c","echo SEKRET-marker; exit 3"]`, 'command_failed'],
  ['a command that is none', () => 'command:["/nonexistent/program"]', 'command_not_started'],
  ['a command that says too much', () => `command:["/bin/sh","-c","yes SEKRET-marker"]`, 'source_too_long'],
  ['a command without a path', () => 'command:["pass"]', 'absolute path'],
  ['a command line', () => 'command:pass show x', 'needs a list'],
  ['a relative file', () => 'file:token', 'absolute path'],
  ['plain http', () => 'vault:http://kv.good.test/secret/a?token_file=/t#f', 'needs https'],
  ['a path with dots', () => 'vault:https://kv.good.test/secret/../a?token_file=/t#f', "can't be fetched|needs https"],
  ['a token in the reference', () => 'vault:https://kv.good.test/secret/a?token=SEKRET#f', 'needs https'],
  ['another kind', () => 'ftp:x', 'must begin with'],
])('%s is told when it is named', async (_name, source, problem) => {
  const text = await problemOf(source());
  expect(text).toMatch(new RegExp(problem));
  expect(text).not.toContain('SEKRET');
});

it('a link to a private file is one, as service managers make them', async () => {
  const link = join(dir, 'link');
  symlinkSync(file('linked', 'SEKRET-marker-linked'), link);
  expect((await (await asker((await add(`file:${link}`)).secret.name))()).authorization).toBe('Bearer SEKRET-marker-linked');
});

it('KV version 2: one field, with the token of a file, over a verified connection', async () => {
  const token = file('kv-token', 'SEKRET-marker-vault-token\n');
  let answer: { status: number; body: unknown } = {
    status: 200,
    body: { data: { data: { password: 'SEKRET-marker-kv', other: 1 }, metadata: {} } },
  };
  origin.answer = (request, response) => {
    if (request.headers.host !== KV) return void response.end('ok');
    const isAsked =
      request.url === '/v1/team/kv/data/app/one%20two' && request.headers['x-vault-token'] === 'SEKRET-marker-vault-token';
    response
      .writeHead(isAsked && request.headers['x-vault-namespace'] === 'ns' ? answer.status : 403)
      .end(JSON.stringify(answer.body));
  };
  const reference = `vault:https://${KV}/team/kv/app/one%20two?mount=team/kv&namespace=ns&token_file=${token}`;
  const { secret } = await add(`${reference}#password`);
  expect((await (await asker(secret.name))()).authorization).toBe('Bearer SEKRET-marker-kv');
  expect(await problemOf(`${reference}#absent`)).toContain('vault_field_missing');
  expect(await problemOf(`${reference}#other`)).toContain('vault_field_missing');
  for (const [status, body, code] of [
    [404, { errors: [] }, 'source_missing'],
    [403, { errors: ['permission denied SEKRET'] }, 'vault_refused'],
    [503, { errors: ['sealed'] }, 'vault_unreachable'],
    [200, { data: null }, 'vault_answer_malformed'],
    [302, {}, 'vault_unreachable'],
  ] as const) {
    answer = { status, body };
    const text = await problemOf(`${reference}#password`);
    expect(text).toContain(code);
    expect(text).not.toContain('SEKRET');
  }
  expect(await problemOf(`${reference.replace(token, join(dir, 'nowhere'))}#password`)).toContain('vault_token_unreadable');
  expect(await problemOf(`${reference.replace(KV, 'other.good.test')}#password`)).toContain('vault_unreachable');
  expect(daemon.logged.join('\n')).not.toContain('SEKRET');
});

it('a role: its temporary keys sign, are renewed before they end, and the stored keys never go to the host', async () => {
  let life = 3_600_000;
  let issued = 0;
  const stored = { accessKeyId: 'AKIASTOREDKEYOFTEST', secretAccessKey: 'SEKRET-marker-stored-key' };
  origin.answer = async (request, response, body) => {
    if (request.headers.host !== STS) return void response.end('ok');
    const own = partsOf(request.headers.authorization as string);
    const arrived = { method: 'POST', url: '/', rawHeaders: request.rawHeaders, body };
    const isRight =
      own.signature === (await expectedSignature(arrived, stored)) &&
      body.includes('RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader');
    if (!isRight) return void response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
    issued++;
    response.end(
      `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIATEMPORARY${issued}</AccessKeyId><SecretAccessKey>SEKRET-marker-temp-${issued}</SecretAccessKey><SessionToken>SEKRET-marker-session-${issued}</SessionToken><Expiration>${new Date(Date.now() + life).toISOString()}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
    );
  };
  const role = { role_arn: 'arn:aws:iam::123456789012:role/reader', region: 'eu-west-1', service: 's3' };
  const keys = { access_key_id: stored.accessKeyId, secret_access_key: stored.secretAccessKey };
  await daemon.api('POST', '/v1/secrets', { name: 'role', provider: 'aws', fields: { ...keys, ...role }, hosts: [API] });
  // Less than the time ahead of which it is renewed: each request finds it due.
  life = 40_000;
  const ask = await asker('role');
  expect((await ask()).status).toBe(200);
  const arrived = origin.arrivals.findLast((each) => each.servername === API)!;
  expect(arrived.headers['x-amz-security-token']).toBe('SEKRET-marker-session-1');
  expect(partsOf(arrived.headers.authorization as string).signature).toBe(
    await expectedSignature(arrived, {
      accessKeyId: 'ASIATEMPORARY1',
      secretAccessKey: 'SEKRET-marker-temp-1',
      sessionToken: 'SEKRET-marker-session-1',
    }),
  );
  expect(JSON.stringify(arrived)).not.toContain(stored.accessKeyId);
  await daemon.api('POST', '/v1/secrets/role/rotate', { fields: { ...keys, secret_access_key: 'SEKRET-marker-wrong' } });
  const refused = await ask();
  expect(refused.status).toBe(503);
  expect(refused.body).toContain('role_refused');
  expect(refused.authorization).toBeUndefined();
});

it('what is fetched is not on the disk', async () => {
  const files = [daemon.paths.vaultDb].map((path) => readFileSync(path, 'latin1')).join('');
  expect(files).not.toContain('SEKRET-marker');
  const problem = await callApi(daemon.paths.apiSocket, 'POST', '/v1/secrets', {
    provider: 'bearer',
    fields: { token: 'SEKRET-marker-both' },
    sources: { fields: { token: 'env:HOME' } },
    hosts: [API],
  }).catch((error: Error) => error.message);
  expect(problem).toContain('has a value and a source');
});
