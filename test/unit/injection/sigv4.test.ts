/** Signature Version 4: against the published vectors, and against another implementation on requests of all shapes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/domain/secret.ts';
import type { UnsignedRequest } from '../../../src/injection/signer.ts';
import { type SigV4Keys, SigV4Signer } from '../../../src/injection/sigv4.ts';
import { scopeOfHost } from '../../../src/injection/sigv4-scope.ts';
import { expectedQuerySignature, expectedSignature, headersOf, openChunks, partsOf } from '../../helpers/aws-verifier.ts';

const KEYS = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const signer = (keys: Partial<SigV4Keys> = {}): SigV4Signer =>
  new SigV4Signer({
    keyId: new Secret(KEYS.accessKeyId),
    key: new Secret(KEYS.secretAccessKey),
    token: null,
    region: null,
    service: null,
    host: 'examplebucket.s3.amazonaws.com',
    ...keys,
  });
const request = (parts: Partial<UnsignedRequest> = {}): UnsignedRequest => ({
  method: 'GET',
  scheme: 'https',
  authority: 'examplebucket.s3.amazonaws.com',
  target: '/',
  headers: [],
  hasBody: false,
  ...parts,
});
const signatureIn = (headers: readonly string[]): string => partsOf(headersOf(headers).get('authorization') ?? '').signature;
const own = (names: string, scope = '20130524/us-east-1/s3'): string[] => [
  'Authorization',
  `AWS4-HMAC-SHA256 Credential=AKIAPLACEHOLDER/${scope}/aws4_request, SignedHeaders=${names}, Signature=${'0'.repeat(64)}`,
];

describe('the published vectors', () => {
  const suite = signer({
    keyId: new Secret('AKIDEXAMPLE'),
    key: new Secret('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'),
    region: 'us-east-1',
    service: 'service',
    host: 'example.amazonaws.com',
  });
  const at = Date.UTC(2015, 7, 30, 12, 36, 0);
  test.each([
    ['get-vanilla', 'GET', '/', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    [
      'get-vanilla-query-order-key-case',
      'GET',
      '/?Param2=value2&Param1=value1',
      'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    ],
    ['post-vanilla', 'POST', '/', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
    ['get-slash-dot-slash', 'GET', '/./', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    ['get-relative', 'GET', '/example/..', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
  ])('%s', (_name, method, target, signature) => {
    const signed = suite.sign(request({ method, target, authority: 'example.amazonaws.com' }), null, at);
    expect(signatureIn(signed.headers)).toBe(signature);
    expect(signed.target).toBe(target);
  });

  const s3At = Date.UTC(2013, 4, 24);
  const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  test.each([
    {
      name: 'S3: GET object',
      parts: { target: '/test.txt', headers: [...own('host;range'), 'Range', 'bytes=0-9', 'x-amz-content-sha256', EMPTY] },
      signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    },
    {
      name: 'S3: PUT object',
      parts: {
        method: 'PUT',
        target: '/test%24file.text',
        hasBody: true,
        headers: [
          ...own('date;host'),
          'Date',
          'Fri, 24 May 2013 00:00:00 GMT',
          'x-amz-storage-class',
          'REDUCED_REDUNDANCY',
          'x-amz-content-sha256',
          '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
        ],
      },
      signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    },
    {
      name: 'S3: GET bucket lifecycle',
      parts: { target: '/?lifecycle', headers: [...own('host'), 'x-amz-content-sha256', EMPTY] },
      signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    },
    {
      name: 'S3: list objects',
      parts: { target: '/?max-keys=2&prefix=J', headers: [...own('host'), 'x-amz-content-sha256', EMPTY] },
      signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    },
  ])('$name', ({ parts, signature }) => {
    expect(signatureIn(signer().sign(request(parts), null, s3At).headers)).toBe(signature);
  });

  test('S3: an upload in signed chunks', () => {
    const signed = signer({ host: 's3.amazonaws.com' }).sign(
      request({
        method: 'PUT',
        authority: 's3.amazonaws.com',
        target: '/examplebucket/chunkObject.txt',
        hasBody: true,
        headers: [
          ...own('content-encoding;content-length;host'),
          'x-amz-storage-class',
          'REDUCED_REDUNDANCY',
          'x-amz-content-sha256',
          'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
          'Content-Encoding',
          'aws-chunked',
          'x-amz-decoded-content-length',
          '66560',
          'Content-Length',
          '66824',
        ],
      }),
      null,
      s3At,
    );
    expect(signatureIn(signed.headers)).toBe('4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9');
    const none = '0'.repeat(64);
    const chunk = (size: number): string => `${size.toString(16)};chunk-signature=${none}\r\n${'a'.repeat(size)}\r\n`;
    const body = Buffer.from(chunk(65_536) + chunk(1024) + chunk(0));
    expect(body.length).toBe(66_824);
    const out: Buffer[] = [];
    // In pieces of every kind: the end of a piece is nowhere special.
    for (let at = 0; at < body.length; at += 777) out.push(...(signed.body?.push(body.subarray(at, at + 777)) ?? []));
    signed.body?.end();
    const text = Buffer.concat(out).toString();
    expect(text.length).toBe(body.length);
    expect([...text.matchAll(/chunk-signature=([0-9a-f]{64})/g)].map((match) => match[1])).toEqual([
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ]);
  });

  test('S3: a presigned URL; the lifetime is what is left of the one that the client chose', () => {
    const credential = encodeURIComponent('AKIAPLACEHOLDER/20130524/us-east-1/s3/aws4_request');
    const target = `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=${'0'.repeat(64)}`;
    const expired = signer().sign(request({ target }), null, s3At + 86_400_000);
    // What has run out is dated as the client dated it: these are the documented URL and signature.
    expect(expired.target).toMatch(
      /X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404$/,
    );
    const fresh = signer().sign(request({ target }), null, s3At + 86_300_000);
    expect(fresh.target).toContain('X-Amz-Date=20130524T235820Z&X-Amz-Expires=100&');
    expect(signer().sign(request({ target }), null, s3At).target).toContain('X-Amz-Expires=300&');
    expect(fresh.target).not.toContain('AKIAPLACEHOLDER');
  });
});

describe('against another implementation', () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
  const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
  const segment = fc.stringMatching(/^[A-Za-z0-9._~!$&'()*,;=:@-]{0,6}(%[2-7][0-9A-F])?$/);
  // SDKs send S3 nothing but unreserved characters and escapes; what they do with others they don't agree on.
  const s3Segment = fc.stringMatching(/^[A-Za-z0-9._~-]{0,6}(%[2-7][0-9A-F])?$/);
  const query = fc.array(fc.tuple(fc.stringMatching(/^q[A-Za-z0-9._~-]{0,8}$/), fc.string({ maxLength: 8 })), { maxLength: 4 });
  test.each(['s3', 'sqs', 'execute-api'])('%s', async (service) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(service === 's3' ? s3Segment : segment, { maxLength: 4 }),
        query,
        fc.uniqueArray(fc.tuple(token, value), { selector: ([name]) => name, maxLength: 4 }),
        async (segments, pairs, fields) => {
          const path = `/${segments.join('/')}`;
          // Behind a dot at the end RFC 3986 and botocore leave a slash, and the verifier does not.
          fc.pre(!/\/\.{1,2}$/.test(path));
          const text = pairs.map(([name, text]) => `${name}=${encodeURIComponent(text)}`).join('&');
          const target = text === '' ? path : `${path}?${text}`;
          const headers = [
            ...own(['host', ...fields.map(([name]) => `x-amz-meta-${name}`)].join(';'), `20130524/eu-west-1/${service}`),
            ...fields.flatMap(([name, text]) => [`X-Amz-Meta-${name}`, text]),
            'Content-Type',
            'text/plain',
          ];
          const host = `${service}.eu-west-1.amazonaws.com`;
          const unsigned = request({ target, headers, authority: host });
          const signed = signer({ host, token: new Secret('SEKRET-marker-session') }).sign(
            unsigned,
            null,
            Date.UTC(2026, 1, 3, 4, 5, 6),
          );
          const arrived = {
            method: 'GET',
            url: signed.target,
            rawHeaders: ['Host', host, ...signed.headers],
            body: Buffer.alloc(0),
          };
          expect(signatureIn(signed.headers), target).toBe(
            await expectedSignature(arrived, { ...KEYS, sessionToken: 'SEKRET-marker-session' }),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test('presigned for another service than S3, with a session token', async () => {
    const credential = encodeURIComponent('AKIAPLACEHOLDER/20260203/eu-west-1/sts/aws4_request');
    const target = `/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}&X-Amz-Date=20260203T040506Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=other&X-Amz-Signature=${'0'.repeat(64)}`;
    const host = 'sts.eu-west-1.amazonaws.com';
    const signed = signer({ host, token: new Secret('a+b/c=') }).sign(
      request({ target, authority: host }),
      null,
      Date.UTC(2026, 1, 3, 4, 5, 7),
    );
    const signature = /X-Amz-Signature=([0-9a-f]{64})$/.exec(signed.target)?.[1];
    expect(signed.target.match(/X-Amz-Security-Token/g)).toHaveLength(1);
    expect(signature).toBe(
      await expectedQuerySignature(
        { method: 'GET', url: signed.target, rawHeaders: ['Host', host], body: Buffer.alloc(0) },
        { ...KEYS, sessionToken: 'a+b/c=' },
      ),
    );
  });
});

describe('what the client sent', () => {
  const at = Date.UTC(2026, 1, 3);
  test('keeps nothing of its own signature, in whatever spelling', () => {
    const signed = signer().sign(
      request({
        target: '/key?versionId=1&X-Amz-Signature=abc&x-amz-credential=other',
        headers: [
          ...own('host;x-amz-date'),
          'authorization',
          'AWS4-HMAC-SHA256 Credential=AKIAREALLOOKING/20260203/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=ff',
          'X_Amz_Date',
          '20200101T000000Z',
          'X-Amz-Security-Token',
          'stolen',
          'X-Amz-Content-Sha256',
          'UNSIGNED-PAYLOAD',
        ],
      }),
      null,
      at,
    );
    expect(signed.target).toBe('/key?versionId=1');
    expect(signed.headers.filter((_text, i) => i % 2 === 0)).toEqual(['X-Amz-Date', 'X-Amz-Content-Sha256', 'Authorization']);
    expect(signed.headers).toContain('20260203T000000Z');
    expect(partsOf(headersOf(signed.headers).get('authorization')!)).toMatchObject({
      keyId: KEYS.accessKeyId,
      region: 'us-east-1',
      service: 's3',
    });
  });

  test('does not choose names of headers that are not there, nor host, nor hop-by-hop fields', () => {
    const signed = signer().sign(
      request({
        headers: [
          ...own('host;connection;x-absent;user-agent;x-mine;:authority;evil\nname'),
          'X-Mine',
          ' a   b ',
          'User-Agent',
          'u',
          'Connection',
          'x',
        ],
      }),
      null,
      at,
    );
    expect(partsOf(headersOf(signed.headers).get('authorization')!).signedHeaders).toEqual([
      'host',
      'x-amz-content-sha256',
      'x-amz-date',
      'x-mine',
    ]);
  });

  test.each([
    ['no signature and a host that says nothing', request({ authority: 'minio.test' }), {}, 'malformed_request'],
    [
      'a scope that is none',
      request({ authority: 'minio.test', headers: own('host', '20130524/a b/s3') }),
      {},
      'malformed_request',
    ],
    [
      'a hash that is none',
      request({ hasBody: true, headers: [...own('host'), 'x-amz-content-sha256', 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD'] }),
      {},
      'malformed_request',
    ],
    ['another region than the pinned one', request({ headers: own('host') }), { region: 'eu-west-1' }, 'policy_violation'],
    ['another service than the pinned one', request({ headers: own('host') }), { service: 'sts' }, 'policy_violation'],
    [
      'a presigned URL without a date',
      request({ target: '/?X-Amz-Credential=a/20130524/us-east-1/s3/aws4_request&X-Amz-Expires=1' }),
      {},
      'malformed_request',
    ],
  ])('%s gets no signature', (_name, unsigned, keys, code) => {
    const host = unsigned.authority;
    expect(() => signer({ host, ...keys }).sign(unsigned, null, at)).toThrowError(expect.objectContaining({ code }));
  });

  test.each([
    [
      'a literal hash',
      { headers: [...own('host', '20130524/us-east-1/sqs'), 'x-amz-content-sha256', 'a'.repeat(64)] },
      'nothing',
    ],
    ['S3 over TLS', { headers: own('host') }, 'nothing'],
    ['S3 in the clear', { headers: own('host'), scheme: 'http' as const }, 'sha256'],
    ['another service', { headers: own('host', '20130524/us-east-1/sqs') }, 'sha256'],
    ['no body', { headers: own('host', '20130524/us-east-1/sqs'), hasBody: false }, 'nothing'],
  ])('%s: what is needed of the body', (_name, parts, need) => {
    expect(signer().needs(request({ hasBody: true, ...parts }))).toBe(need);
  });
});

describe('chunks', () => {
  const at = Date.UTC(2026, 1, 3);
  const open = (mark: string) => {
    const signed = signer().sign(
      request({ method: 'PUT', hasBody: true, headers: [...own('host'), 'X-Amz-Content-Sha256', mark] }),
      null,
      at,
    );
    const head = partsOf(headersOf(signed.headers).get('authorization')!);
    return { body: signed.body!, head };
  };
  const none = '0'.repeat(64);

  test('with a trailer are signed, and the trailer too', () => {
    const { body, head } = open('STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER');
    const text = `5;chunk-signature=${none}\r\nhello\r\n0;chunk-signature=${none}\r\nx-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:${none}\r\n\r\n`;
    const out = [...Buffer.from(text)].flatMap((byte) => body.push(Buffer.of(byte)));
    body.end();
    const opened = openChunks(Buffer.concat(out), head.signature, KEYS, head, '20260203T000000Z');
    expect(opened.problems).toEqual([]);
    expect(opened.data.toString()).toBe('hello');
    expect(opened.trailer[0]).toBe('x-amz-checksum-crc32c:sOO8/Q==');
    expect(Buffer.concat(out).length).toBe(text.length);
  });

  test.each([
    ['no signature', 'hello'],
    ['a size that is none', `x;chunk-signature=${none}\r\n`],
    ['too large', `500000;chunk-signature=${none}\r\n`],
    ['longer than it says', `1;chunk-signature=${none}\r\nab\r\n`],
    ['more behind the end', `0;chunk-signature=${none}\r\n\r\nmore`],
    ['an extension of its own', `1;evil=1;chunk-signature=${none}\r\na\r\n`],
    ['a head without an end', '1'.repeat(300)],
  ])('%s: refused', (_name, text) => {
    const { body } = open('STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
    expect(() => {
      body.push(Buffer.from(text));
      body.end();
    }).toThrowError(expect.objectContaining({ code: 'malformed_request' }));
  });
});

test.each([
  ['s3.amazonaws.com', 'us-east-1', 's3'],
  ['bucket.name.s3.eu-central-1.amazonaws.com', 'eu-central-1', 's3'],
  ['bucket.s3-eu-west-1.amazonaws.com', 'eu-west-1', 's3'],
  ['s3-fips.dualstack.us-gov-west-1.amazonaws.com', 'us-gov-west-1', 's3'],
  ['vpce-1a-2b.s3.us-east-1.vpce.amazonaws.com', 'us-east-1', 's3'],
  ['bedrock-agent-runtime.us-west-2.amazonaws.com', 'us-west-2', 'bedrock'],
  ['appconfigdata.us-west-2.amazonaws.com', 'us-west-2', 'appconfig'],
  ['appstream2.eu-west-1.amazonaws.com', 'eu-west-1', 'appstream'],
  ['email.eu-west-1.amazonaws.com', 'eu-west-1', 'ses'],
  ['api.ecr.eu-west-1.amazonaws.com', 'eu-west-1', 'ecr'],
  ['iam.amazonaws.com', 'us-east-1', 'iam'],
  ['iam.cn-north-1.amazonaws.com.cn', 'cn-north-1', 'iam'],
  ['abc.execute-api.ap-southeast-2.amazonaws.com', 'ap-southeast-2', 'execute-api'],
  ['search-x-abc.eu-west-1.es.amazonaws.com', 'eu-west-1', 'es'],
  ['ec2.eu-west-1.api.aws', 'eu-west-1', 'ec2'],
  ['abc.lambda-url.eu-west-1.on.aws', 'eu-west-1', 'lambda'],
])('the host %s signs for %s %s', (host, region, service) => {
  expect(scopeOfHost(host)).toEqual({ region, service });
});
test.each(['api.good.test', 'amazonaws.com.evil.test', 'evilamazonaws.com'])('the host %s says nothing', (host) => {
  expect(scopeOfHost(host)).toBeNull();
});
