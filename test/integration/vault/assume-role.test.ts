/**
 * A role whose keys last a quarter of an hour: a token service on loopback that checks who asks, and a store that checks with which of
 * its keys each request is signed. The clock is moved; sockets, TLS and signatures are real.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { expectedSignature, partsOf } from '../../helpers/aws-verifier.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';
import { readAnswer, Wire } from '../proxy/rig.ts';

const S3 = 'bucket.s3.eu-west-1.amazonaws.com';
const STS = 'sts.eu-west-1.amazonaws.com';
const STORED = { accessKeyId: 'AKIASTOREDKEYOFTEST', secretAccessKey: 'SEKRET-marker-stored-key' };
const ROLE = 'arn:aws:iam::123456789012:role/reader';
const MINUTE_MS = 60_000;

let pki: TestPki;
let daemon: TestDaemon;
let store: TestOrigin;
let sts: TestOrigin;
let authorization: string;
let issued = 0;
/** What the token service does; it answers when this has resolved. */
let mood: () => Promise<'issues' | 'fails' | 'refuses'> = () => Promise.resolve('issues');

const temporary = (n: number) => ({
  accessKeyId: `ASIATEMPORARYKEY${n}`,
  secretAccessKey: `SEKRET-marker-temporary-${n}`,
  sessionToken: `SEKRET-marker-session-${n}`,
});
/** As the token service writes it: to the second. */
const stampOf = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');

beforeAll(async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  pki = makePki();
  store = await startOrigin(pki, {
    answer: (request, response) => void keyOf(request.rawHeaders, request).then((key) => response.end(key)),
  });
  sts = await startOrigin(pki, {
    answer: async (request, response, body) => {
      const arrived = { method: 'POST', url: '/', rawHeaders: request.rawHeaders, body };
      const own = partsOf(request.headers.authorization as string);
      const asked = new URLSearchParams(body.toString());
      const isRight =
        own.signature === (await expectedSignature(arrived, STORED)) &&
        own.service === 'sts' &&
        asked.get('Action') === 'AssumeRole' &&
        asked.get('RoleArn') === ROLE;
      const n = ++issued;
      const now = await mood();
      if (now === 'fails') return void response.writeHead(500).end();
      if (!isRight || now === 'refuses')
        return void response.writeHead(403).end('<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>');
      const keys = temporary(n);
      response.end(
        `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>${keys.accessKeyId}</AccessKeyId><SecretAccessKey>${keys.secretAccessKey}</SecretAccessKey><SessionToken>${keys.sessionToken}</SessionToken><Expiration>${stampOf(Date.now() + 15 * MINUTE_MS)}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
      );
    },
  });
  daemon = await startTestDaemon({
    config: `allow_private = ["${STS}:443"]\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { "${S3}:443" = "127.0.0.1:${store.port}", "${STS}:443" = "127.0.0.1:${sts.port}" }\n`,
  });
  const fields = { access_key_id: STORED.accessKeyId, secret_access_key: STORED.secretAccessKey, role_arn: ROLE };
  await daemon.api('POST', '/v1/secrets', { name: 'role', provider: 'aws', fields, hosts: [S3] });
  ({ authorization } = await daemon.agent('reader'));
  // The pin of the grant also says which token service is asked.
  await daemon.api('POST', '/v1/grants', { credential: 'role', agent: 'reader', allow_private: true, aws_region: 'eu-west-1' });
});
afterAll(async () => {
  vi.useRealTimers();
  await daemon.stop();
  for (const origin of [store, sts]) await origin.close();
  rmSync(pki.dir, { recursive: true, force: true });
});

/** Which of the keys signed: the number of the issue; anything else as text. */
async function keyOf(
  rawHeaders: readonly string[],
  { method = '', url = '' }: { method?: string; url?: string },
): Promise<string> {
  const at = rawHeaders.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === 'authorization');
  const { keyId, signature } = partsOf(rawHeaders[at + 1] as string);
  const n = Number(/^ASIATEMPORARYKEY(\d+)$/.exec(keyId)?.[1]);
  const isRight = signature === (await expectedSignature({ method, url, rawHeaders, body: Buffer.alloc(0) }, temporary(n)));
  return isRight && rawHeaders.includes(temporary(n).sessionToken) ? String(n) : `signed by ${keyId}`;
}

async function tunnel(): Promise<Socket> {
  const socket = connectTcp({ port: daemon.port, host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.write(`CONNECT ${S3}:443 HTTP/1.1\r\nHost: ${S3}:443\r\nProxy-Authorization: ${authorization}\r\n\r\n`);
  await once(socket, 'data');
  return socket;
}
async function ask(): Promise<string> {
  const socket = await tunnel();
  const secure = connectTls({ socket, servername: S3, ca: daemon.running.ca().pem });
  await once(secure, 'secureConnect');
  const wire = new Wire(secure);
  wire.write(`GET /key HTTP/1.1\r\nHost: ${S3}\r\n\r\n`);
  const { status, body } = await readAnswer(wire);
  wire.socket.destroy();
  if (status === 200) return body;
  const problem = JSON.parse(body) as { error: string; detail: string };
  return `${status} ${problem.error} ${problem.detail}`;
}
const together = async (count: number): Promise<string[]> => [...new Set(await Promise.all(Array.from({ length: count }, ask)))];
const later = (ms: number): void => void vi.setSystemTime(Date.now() + ms);
/** A token service that does not answer before it is let go. */
function holding(then: Awaited<ReturnType<typeof mood>>): () => void {
  let letGo = (): void => {};
  const held = new Promise<void>((resolve) => (letGo = resolve));
  mood = () => held.then(() => then);
  return letGo;
}

it('the first requests together make one call, and all are signed with what it brought', async () => {
  expect(await together(30)).toEqual(['1']);
  expect(issued).toBe(1);
});

it('ahead of the end, one call is made while the old keys go on serving', async () => {
  later(9 * MINUTE_MS);
  expect(await together(5)).toEqual(['1']);
  expect(issued).toBe(1);
  later(2 * MINUTE_MS);
  const letGo = holding('issues');
  // The token service has not answered anybody yet.
  expect(await together(20)).toEqual(['1']);
  letGo();
  await expect.poll(ask, { timeout: 5_000, interval: 20 }).toBe('2');
  expect(issued).toBe(2);
});

it('a renewal that fails harms nobody before the end; after it the error says what failed, and it heals by itself', async () => {
  mood = () => Promise.resolve('fails');
  later(11 * MINUTE_MS);
  expect(await together(10)).toEqual(['2']);
  expect(await together(10)).toEqual(['2']);
  await expect.poll(() => issued, { timeout: 5_000, interval: 20 }).toBe(3);
  later(5 * MINUTE_MS);
  const before = issued;
  const [refused, ...others] = await together(20);
  expect(others).toEqual([]);
  expect(refused).toMatch(/^503 .*credential_unavailable.*role_unreachable/s);
  // Failures are remembered for two seconds: no storm.
  expect(issued).toBe(before + 1);
  mood = () => Promise.resolve('refuses');
  vi.setSystemTime(Date.now() + 3_000);
  expect(await ask()).toMatch(/^503 .*role_refused/s);
  mood = () => Promise.resolve('issues');
  vi.setSystemTime(Date.now() + 3_000);
  expect(await together(20)).toEqual([String(issued)]);
  expect(issued).toBe(before + 3);
});

it('at the end of keys that nobody used meanwhile, requests wait for one call together', async () => {
  const before = issued;
  later(60 * MINUTE_MS);
  expect(await together(30)).toEqual([String(before + 1)]);
  expect(issued).toBe(before + 1);
  expect(store.arrivals.some((each) => each.rawHeaders.some((text) => text.includes(STORED.accessKeyId)))).toBe(false);
  expect(daemon.logged.join('\n')).not.toContain('SEKRET');
});
