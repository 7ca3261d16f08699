/** S-17, S-19, S-39, S-43, S-61, S-65, S-73: credentials that sign. The agent holds placeholder keys; signatures are made for what is sent and nothing else. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { expectedQuerySignature, expectedSignature, headersOf, openChunks, partsOf } from '../helpers/aws-verifier.ts';
import { EVIL, expectRefusal, GOOD, leaks, RIVAL, startWall, valuesOf, type Wall, type WallAgent } from './support/wall.ts';

const KEYS = { accessKeyId: 'AKIAREALKEYOFTESTS', secretAccessKey: 'SEKRET-marker-aws/key+5e1d9c0a' };
const SESSION = { ...KEYS, sessionToken: 'SEKRET-marker-session-token-1a2b3c' };
const inject = [{ in: 'sigv4', key_id: '{key_id}', key: '{key}' }];
let wall: Wall;
let bot: WallAgent;
let temporary: WallAgent;

beforeAll(async () => {
  wall = await startWall();
  const fields = { key_id: KEYS.accessKeyId, key: KEYS.secretAccessKey };
  await wall.daemon.api('POST', '/v1/secrets', { name: 'keys', provider: 'store', fields, inject, hosts: [GOOD] });
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'temporary',
    provider: 'store',
    fields: { ...fields, token: SESSION.sessionToken },
    inject: [{ ...inject[0], token: '{token}' }],
    hosts: [GOOD],
  });
  bot = await wall.agent({ credential: 'keys' });
  temporary = await wall.agent({ credential: 'temporary' });
});
afterAll(() => wall.stop());

const last = () => wall.good.arrivals.at(-1)!;
/** What an SDK sends that signed with the placeholder. */
const signedBy = (keyId: string, names = 'host;x-amz-date', scope = 'eu-west-1/s3'): string[] => [
  `Authorization: AWS4-HMAC-SHA256 Credential=${keyId}/20200101/${scope}/aws4_request, SignedHeaders=${names}, Signature=${'a'.repeat(64)}`,
  'X-Amz-Date: 20200101T000000Z',
];
const verified = async (keys = KEYS): Promise<ReturnType<typeof partsOf>> => {
  const parts = partsOf(valuesOf(last().rawHeaders, 'authorization').join('|'));
  expect(parts.keyId).toBe(keys.accessKeyId);
  expect(parts.signature).toBe(await expectedSignature(last(), keys));
  return parts;
};

it('S-19 Host is signed as it is sent: without its default port, whatever the client wrote', async () => {
  for (const host of [GOOD, `${GOOD}:443`, GOOD.toUpperCase()]) {
    const answer = await bot.ask('/bucket/a%20key?versionId=1', { host, headers: signedBy(bot.placeholder) });
    expect(answer.status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'host')).toEqual([GOOD]);
    await verified();
  }
});

it('S-39 a signature of the client’s own, real-looking or doubled, never arrives; the row says that it was replaced', async () => {
  const own = signedBy('AKIASOMEBODYELSES');
  const answer = await bot.ask('/', {
    headers: [...own, own[0] as string, 'X_Amz_Date: 20200101T000000Z', 'X-Amz-Security-Token: theirs'],
  });
  expect(answer.status).toBe(200);
  await verified();
  expect(last().rawHeaders.join('\n')).not.toMatch(/SOMEBODYELSES|theirs|20200101/);
  await wall.row({ agent: bot.name, outcome: 'success', replaced: true });
});

it('S-39 the client’s clock counts for nothing', async () => {
  await bot.ask('/', { headers: signedBy(bot.placeholder) });
  const date = headersOf(last().rawHeaders).get('x-amz-date')!;
  const at = Date.parse(date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  expect(Math.abs(Date.now() - at)).toBeLessThan(60_000);
});

it('S-38 what `Connection` takes away or nobody sent is not signed, whatever the client’s list names', async () => {
  const names = 'host;x-amz-meta-gone;x-absent;transfer-encoding;x-amz-date';
  await bot.ask('/', {
    headers: [
      ...signedBy(bot.placeholder, names),
      'Connection: x-amz-meta-gone',
      'X-Amz-Meta-Gone: 1',
      'X-Amz-Meta-Kept:  a   b ',
    ],
  });
  expect((await verified()).signedHeaders).toEqual(['host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-meta-kept']);
});

it('S-17 no signature is made for another host, with the placeholder or without', async () => {
  const before = wall.rival.arrivals.length;
  await wall.daemon.api('POST', '/v1/grants', { credential: 'rival', agent: bot.name, hosts: [RIVAL], allow_private: true });
  const at = { connect: `${RIVAL}:443`, sni: RIVAL, host: RIVAL };
  expectRefusal(await bot.ask('/', { ...at, headers: signedBy(bot.placeholder) }), 403, 'policy_violation');
  expectRefusal(await bot.ask('/', { host: EVIL, headers: signedBy(bot.placeholder) }), 421, 'misdirected_request');
  expect(wall.rival.arrivals.length).toBe(before);
  await bot.ask('/', at);
  expect(wall.rival.arrivals.at(-1)!.rawHeaders.join('\n')).not.toContain('AWS4');
});

it('S-17 the region and service of a pin are the only ones that are signed for', async () => {
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'pinned',
    provider: 'store',
    fields: { key_id: KEYS.accessKeyId, key: KEYS.secretAccessKey },
    inject: [{ ...inject[0], region: 'eu-west-1', service: 's3' }],
    hosts: [GOOD],
  });
  const pinned = await wall.agent({ credential: 'pinned' });
  expect((await pinned.ask('/', { headers: signedBy(pinned.placeholder) })).status).toBe(200);
  await verified();
  expect((await pinned.ask('/')).status).toBe(200);
  await verified();
  const before = wall.good.arrivals.length;
  const other = await pinned.ask('/', { headers: signedBy(pinned.placeholder, 'host', 'us-east-1/s3') });
  expectRefusal(other, 403, 'policy_violation', 'signing_scope');
  expect(wall.good.arrivals.length).toBe(before);
  await wall.row({ agent: pinned.name, outcome: 'refused', error: 'policy_violation' });
});

it('S-17 a grant’s own pin narrows its secret, refuses what it is not for, and never goes beyond the pin of the secret', async () => {
  const narrow = await wall.agent({ credential: 'keys', aws_region: 'eu-west-1', aws_service: 's3' });
  expect((await narrow.ask('/', { headers: signedBy(narrow.placeholder) })).status).toBe(200);
  await verified();
  // Without a signature of the client's, the pin says for what it is signed.
  expect((await narrow.ask('/')).status).toBe(200);
  expect(await verified()).toMatchObject({ region: 'eu-west-1', service: 's3' });
  const before = wall.good.arrivals.length;
  for (const scope of ['us-east-1/s3', 'eu-west-1/sts'])
    expectRefusal(
      await narrow.ask('/', { headers: signedBy(narrow.placeholder, 'host', scope) }),
      403,
      'policy_violation',
      'signing_scope',
    );
  expect(wall.good.arrivals.length).toBe(before);
  for (const [credential, pins, problem] of [
    ['pinned', { aws_region: 'us-east-1' }, /is for \\?"eu-west-1\\?" alone/],
    ['keys', { aws_region: 'eu west' }, /aws_region: use letters/],
    ['demo', { aws_service: 's3' }, /does not sign for AWS/],
  ] as const) {
    const made = wall.daemon.api('POST', '/v1/grants', { credential, agent: narrow.name, label: 'no', ...pins });
    await expect(made).rejects.toThrow(problem);
  }
});

it('S-65 a presigned URL is signed anew, for no longer than the client chose', async () => {
  const date = `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  const url = (keyId: string): string =>
    `/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${keyId}%2F20200101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=${date}&X-Amz-Expires=60&X-Amz-Security-Token=theirs&X-Amz-SignedHeaders=host&x-id=GetObject&X-Amz-Signature=${'a'.repeat(64)}`;
  expect((await temporary.ask(url(temporary.placeholder))).status).toBe(200);
  const { url: arrived } = last();
  expect(arrived).toMatch(/^\/bucket\/key\?x-id=GetObject&/);
  expect(arrived).not.toMatch(new RegExp(`${temporary.placeholder}|theirs|X-Amz-Signature=a{64}`));
  expect(Number(/X-Amz-Expires=(\d+)/.exec(arrived)?.[1])).toBeLessThanOrEqual(60);
  expect(/X-Amz-Signature=([0-9a-f]{64})$/.exec(arrived)?.[1]).toBe(await expectedQuerySignature(last(), SESSION));
  const row = await wall.row({ agent: temporary.name, outcome: 'success' });
  expect(JSON.stringify(row)).not.toMatch(/AKIA|theirs|[0-9]{8}T[0-9]{6}Z/);
});

it('S-61 keys that a store repeats in its error are masked, and neither rows nor log hold them', async () => {
  wall.good.answer = (request, response) => {
    const text = `<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>${KEYS.accessKeyId}</AWSAccessKeyId><Key>${KEYS.secretAccessKey}</Key><Encoded>${encodeURIComponent(KEYS.secretAccessKey)}</Encoded><Token>${Buffer.from(SESSION.sessionToken).toString('base64')}</Token></Error>`;
    response
      .setHeader('x-echo', String(request.headers['x-amz-security-token']))
      .writeHead(403, { 'content-type': 'application/xml' })
      .end(text);
  };
  const answer = await temporary.ask('/', { headers: signedBy(temporary.placeholder) });
  await verified(SESSION);
  const values = [KEYS.accessKeyId, KEYS.secretAccessKey, SESSION.sessionToken];
  const { entries } = await wall.daemon.api<{ entries: object[] }>('GET', '/v1/audit?limit=100');
  for (const text of [answer.body, answer.headers.join('\n'), JSON.stringify(entries), wall.daemon.logged.join('\n')])
    expect(leaks(text, values)).toEqual([]);
  expect(answer.body).not.toContain(encodeURIComponent(KEYS.secretAccessKey));
  wall.good.answer = (_request, response) => void response.end('ok');
});

it('a body is hashed where the signature needs it, and what arrives is what was hashed', async () => {
  for (const size of [0, 5, 70_000, 3_000_000]) {
    const body = 'x'.repeat(size);
    const headers = [...signedBy(bot.placeholder, 'host', 'eu-west-1/sqs'), ...(size === 0 ? ['Content-Length: 0'] : [])];
    expect((await bot.ask('/queue', { method: 'POST', headers, body })).status).toBe(200);
    expect(last().body.length).toBe(size);
    expect(last().rawHeaders.join('\n').toLowerCase()).not.toContain('x-amz-content-sha256');
    await verified();
  }
});

it('a hash of the client’s own is signed as it is, and nothing is held for it', async () => {
  const hash = createHash('sha256').update('hello').digest('hex');
  const headers = [...signedBy(bot.placeholder, 'host', 'eu-west-1/sqs'), `X-Amz-Content-Sha256: ${hash}`];
  await bot.ask('/queue', { method: 'POST', headers, body: 'hello' });
  expect(valuesOf(last().rawHeaders, 'x-amz-content-sha256')).toEqual([hash]);
  await verified();
});

const none = '0'.repeat(64);
const upload = (size: number): string =>
  `${size.toString(16)};chunk-signature=${none}\r\n${'b'.repeat(size)}\r\n0;chunk-signature=${none}\r\n\r\n`;
const chunked = (length: number): string[] => [
  ...signedBy(bot.placeholder),
  'X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'Content-Encoding: aws-chunked',
  `X-Amz-Decoded-Content-Length: ${length}`,
];

it('chunk-signed uploads are signed again chunk by chunk', async () => {
  const text = upload(100_000);
  expect((await bot.ask('/bucket/key', { method: 'PUT', headers: chunked(100_000), body: text })).status).toBe(200);
  const parts = await verified();
  expect(last().body.length).toBe(text.length);
  const opened = openChunks(last().body, parts.signature, KEYS, parts, headersOf(last().rawHeaders).get('x-amz-date')!);
  expect(opened.problems).toEqual([]);
  expect(opened.data.length).toBe(100_000);
});

it('S-39 a chunk that is none ends the upload: the origin gets no whole body, and the client is told why', async () => {
  const before = wall.good.arrivals.length;
  const text = upload(70_000).replace(';chunk-signature', ';chunk-sig');
  expectRefusal(await bot.ask('/bucket/key', { method: 'PUT', headers: chunked(70_000), body: text }), 400, 'malformed_request');
  expect(wall.good.arrivals.length).toBe(before);
  await wall.row({ agent: bot.name, outcome: 'refused', error: 'malformed_request' });
});

it('S-43 a signer changes nothing of what is refused: a method, a path, a second signature in a trailer', async () => {
  expectRefusal(await bot.ask('/', { method: 'TRACE', headers: signedBy(bot.placeholder) }), 405, 'method_refused');
  const socket = await bot.tls();
  const lines = [
    `POST / HTTP/1.1`,
    `Host: ${GOOD}`,
    ...signedBy(bot.placeholder),
    'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD',
    'Transfer-Encoding: chunked',
    'Trailer: x-amz-date',
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n1\r\na\r\n0\r\nX-Amz-Date: 20200101T000000Z\r\nAuthorization: theirs\r\n\r\n`);
  await once(socket, 'data');
  socket.destroy();
  await verified();
  expect(last().body.toString()).toBe('a');
});
