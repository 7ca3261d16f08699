/**
 * Credentials that sign each request, over real sockets, checked at the origin by programs that are not ours: jose, OpenAI's verifier of
 * webhooks, and openssl.
 */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { decodeProtectedHeader, importSPKI, jwtVerify } from 'jose';
import OpenAI from 'openai';
import { ProxyAgent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { type Arrival, startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';

const HOSTS = ['api.coinbase.com', 'api.binance.com', 'www.okx.com', 'hooks.good.test'];
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEY_NAME = 'organizations/0f1e2d3c-org/apiKeys/SEKRET-marker-key-name';
const WEBHOOK_KEY = randomBytes(24);
let pki: TestPki;
let daemon: TestDaemon;
let origin: TestOrigin;
let agent: ProxyAgent;

beforeAll(async () => {
  pki = makePki();
  origin = await startOrigin(pki);
  const routes = HOSTS.map((host) => `"${host}:443" = "127.0.0.1:${origin.port}"`);
  daemon = await startTestDaemon({
    config: `[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${routes.join(', ')} }\n`,
  });
  const pem = EC.privateKey.export({ type: 'sec1', format: 'pem' }) as string;
  const { authorization } = await daemon.agent('trader');
  const secrets: readonly object[] = [
    // As it stands in the JSON that is downloaded.
    { name: 'coinbase', provider: 'coinbase', fields: { key_name: KEY_NAME, private_key: pem.trim().replaceAll('\n', '\\n') } },
    {
      name: 'binance',
      provider: 'binance',
      fields: { api_key: 'SEKRET-marker-binance-id', secret_key: 'SEKRET-marker-binance-key' },
    },
    {
      name: 'okx',
      provider: 'okx',
      fields: { api_key: 'SEKRET-marker-okx-id', secret_key: 'SEKRET-marker-okx-key', passphrase: 'SEKRET-marker-okx-phrase' },
    },
    {
      name: 'hooks',
      provider: 'hooks',
      hosts: ['hooks.good.test'],
      fields: { key: WEBHOOK_KEY.toString('base64') },
      inject: [
        {
          in: 'hmac',
          algorithm: 'sha256',
          key: '{key}',
          key_encoding: 'base64',
          message: '{nonce}.{timestamp}.{body}',
          encoding: 'base64',
          headers: [
            { name: 'webhook-id', template: '{nonce}' },
            { name: 'webhook-timestamp', template: '{timestamp}' },
            { name: 'webhook-signature', template: 'v1,{signature}' },
          ],
        },
      ],
    },
  ];
  for (const secret of secrets) {
    await daemon.api('POST', '/v1/secrets', secret);
    await daemon.api('POST', '/v1/grants', {
      credential: (secret as { name: string }).name,
      agent: 'trader',
      allow_private: true,
    });
  }
  agent = new ProxyAgent({
    uri: `http://127.0.0.1:${daemon.port}`,
    token: authorization,
    requestTls: { ca: daemon.running.ca().pem },
  });
});
afterAll(async () => {
  await agent.close();
  await daemon.stop();
  await origin.close();
  rmSync(pki.dir, { recursive: true, force: true });
});

type Method = 'GET' | 'POST';
/** What the agent got, and what arrived when something did. */
async function ask(
  method: Method,
  url: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<{ status: number; text: string; arrived: Arrival | undefined }> {
  const before = origin.arrivals.length;
  const answer = await request(url, { method, headers, dispatcher: agent, ...(body === undefined ? {} : { body }) });
  return { status: answer.statusCode, text: await answer.body.text(), arrived: origin.arrivals[before] };
}
const openssl = (key: string, message: string): Buffer =>
  execFileSync('openssl', ['dgst', '-sha256', '-hmac', key, '-binary'], { input: message });

describe('a token for each request (ES256)', () => {
  const tokenOf = (arrived: Arrival | undefined): string =>
    /^Bearer (\S+)$/.exec(String(arrived?.headers.authorization))?.[1] ?? '';

  it('is for this method, host and path alone, and for two minutes; what the client made is gone', async () => {
    const key = await importSPKI(EC.publicKey.export({ type: 'spki', format: 'pem' }) as string, 'ES256');
    const seen = new Set<unknown>();
    for (const [method, path] of [
      ['GET', '/api/v3/brokerage/accounts'],
      ['POST', '/api/v3/brokerage/orders'],
    ] as const) {
      const { status, arrived } = await ask(method, `https://api.coinbase.com${path}?limit=1`, {
        authorization: 'Bearer own.made.token',
      });
      expect(status).toBe(200);
      const token = tokenOf(arrived);
      const { payload } = await jwtVerify(token, key, { algorithms: ['ES256'], issuer: 'cdp', subject: KEY_NAME, typ: 'JWT' });
      expect(payload.uri).toBe(`${method} api.coinbase.com${path}`);
      expect((payload.exp as number) - (payload.nbf as number)).toBe(120);
      const { kid, nonce } = decodeProtectedHeader(token) as { kid: string; nonce: string };
      expect(kid).toBe(KEY_NAME);
      expect(nonce).toMatch(/^[0-9a-f]{32}$/);
      seen.add(nonce);
      expect(arrived?.rawHeaders.filter((text) => text.toLowerCase() === 'authorization')).toHaveLength(1);
    }
    expect(seen.size).toBe(2);
  });

  it('openssl agrees that it is a signature', async () => {
    const { arrived } = await ask('GET', 'https://api.coinbase.com/');
    const [head = '', claims = '', signature = ''] = tokenOf(arrived).split('.');
    // Two numbers of 32 bytes, which openssl wants as DER.
    const numbers = [0, 32].map((at) => Buffer.from(signature, 'base64url').subarray(at, at + 32));
    const integers = numbers.map((number) => {
      const bare = Buffer.from(number.toString('hex').replace(/^(?:00)+/, ''), 'hex');
      const positive = (bare[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.of(0), bare]) : bare;
      return Buffer.concat([Buffer.of(2, positive.length), positive]);
    });
    const sequence = Buffer.concat(integers);
    const file = `${daemon.home}/signature`;
    const publicFile = `${daemon.home}/public.pem`;
    const { writeFileSync } = await import('node:fs');
    writeFileSync(file, Buffer.concat([Buffer.of(0x30, sequence.length), sequence]));
    writeFileSync(publicFile, EC.publicKey.export({ type: 'spki', format: 'pem' }));
    const said = execFileSync('openssl', ['dgst', '-sha256', '-verify', publicFile, '-signature', file], {
      input: `${head}.${claims}`,
    });
    expect(said.toString()).toContain('Verified OK');
  });

  it('a key of another kind is refused when it is stored, without a word of it', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    for (const [key, problem] of [
      [rsa, /not an EC key of the curve P-256, which ES256 needs/],
      [p384, /not an EC key of the curve P-256/],
      ['SEKRET-marker-no-key', /not a key in PEM/],
    ] as const) {
      const made = daemon.api('POST', '/v1/secrets', {
        name: 'wrong',
        provider: 'coinbase',
        fields: { key_name: KEY_NAME, private_key: key.trim() },
      });
      await expect(made).rejects.toThrow(problem);
      await expect(made).rejects.not.toThrow(/SEKRET-marker-no-key|BEGIN/);
    }
  });
});

describe('a signature in the query', () => {
  const url = 'https://api.binance.com/api/v3/order';

  it.each([
    ['a query', `${url}?symbol=LTCBTC&side=BUY&note=%e2%82%ac&timestamp=1&recvWindow=5000&signature=theirs`, undefined],
    ['nothing but its own', `${url}?timestamp=1&SIGNATURE=theirs`, undefined],
    ['a form besides', `${url}?symbol=LTCBTC&signature=theirs`, 'side=BUY&quantity=1'],
  ] as const)('is made over %s, with a time of alterd’s', async (_name, asked, body) => {
    const { status, arrived } = await ask(
      'POST',
      asked,
      { 'x-mbx-apikey': 'theirs', 'content-type': 'application/x-www-form-urlencoded' },
      body,
    );
    expect(status).toBe(200);
    const query = (arrived?.url ?? '').split('?')[1] as string;
    const [, message = '', signature] = /^(.*)&signature=([0-9a-f]{64})$/.exec(query) as unknown as string[];
    expect(signature).toBe(openssl('SEKRET-marker-binance-key', message + (body ?? '')).toString('hex'));
    const own = asked
      .split('?')[1]!
      .replace(/&?(?:timestamp|signature)=\w+/gi, '')
      .replace(/^&/, '');
    expect(message.replace(/&?timestamp=\d{13}$/, '')).toBe(own);
    expect(Math.abs(Number(/timestamp=(\d{13})$/.exec(message)?.[1]) - Date.now())).toBeLessThan(60_000);
    expect(arrived?.headers['x-mbx-apikey']).toBe('SEKRET-marker-binance-id');
  });

  it('is left out where the client did not sign: only its key is put on', async () => {
    const { arrived } = await ask('GET', 'https://api.binance.com/api/v3/ticker?symbol=LTCBTC');
    expect(arrived?.url).toBe('/api/v3/ticker?symbol=LTCBTC');
    expect(arrived?.headers['x-mbx-apikey']).toBe('SEKRET-marker-binance-id');
  });

  it('is not made for a body that brings a time or a signature of its own', async () => {
    for (const body of ['side=BUY&timestamp=1', 'signature=theirs', 'a=1&Signatur%65=x']) {
      const { status, text, arrived } = await ask(
        'POST',
        `${url}?signature=x`,
        { 'content-type': 'application/x-www-form-urlencoded' },
        body,
      );
      expect(status).toBe(400);
      expect(text).toMatch(/malformed_request.*in the query/s);
      expect(arrived).toBeUndefined();
    }
  });
});

describe('a signature in headers', () => {
  it('of time, method, path and body, as openssl makes it', async () => {
    const { arrived } = await ask(
      'POST',
      'https://www.okx.com/api/v5/trade/order?a=1',
      { 'OK-ACCESS-SIGN': 'theirs' },
      '{"sz":"2"}',
    );
    const at = String(arrived?.headers['ok-access-timestamp']);
    expect(at).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(arrived?.headers['ok-access-sign']).toBe(
      openssl('SEKRET-marker-okx-key', `${at}POST/api/v5/trade/order?a=1{"sz":"2"}`).toString('base64'),
    );
  });

  it('by a template of the operator’s, as OpenAI checks webhooks', async () => {
    const body = JSON.stringify({ type: 'order.made', amount: 'ü' });
    const { arrived } = await ask('POST', 'https://hooks.good.test/in', {}, body);
    const verifier = new OpenAI({ apiKey: 'none' }).webhooks;
    const secret = `whsec_${WEBHOOK_KEY.toString('base64')}`;
    const headers = arrived?.headers as Record<string, string>;
    await verifier.verifySignature(arrived?.body.toString() as string, headers, secret);
    await expect(verifier.verifySignature(`${body} `, headers, secret)).rejects.toThrow();
  });
});

it('no key of any of them is in the log or in a row', async () => {
  const { entries } = await daemon.api<{ entries: object[] }>('GET', '/v1/audit?limit=200');
  expect(entries.length).toBeGreaterThan(5);
  expect(JSON.stringify(entries) + daemon.logged.join('\n')).not.toMatch(/SEKRET|signature=|BEGIN/);
});
