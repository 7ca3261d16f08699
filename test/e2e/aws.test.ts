/** Stock AWS clients with placeholder keys, against a store that checks each signature with another implementation. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, PROJECT, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { expectedQuerySignature, expectedSignature, headersOf } from '../helpers/aws-verifier.ts';
import { findClient } from '../helpers/clients.ts';
import { makePki, type TestPki } from '../helpers/pki.ts';
import { configFor, type Provider, readBody, startProvider } from './support/provider.ts';

const KEYS = { accessKeyId: 'AKIAREALKEYOFTESTS', secretAccessKey: 'SEKRET-marker-aws/e2e+key' };
const S3 = 'bucket.s3.eu-central-1.amazonaws.com';
const SQS = 'sqs.eu-central-1.amazonaws.com';
const stored = new Map<string, Buffer>();
let pki: TestPki;
let provider: Provider;
let alterd: AlterdProcess;
let env: NodeJS.ProcessEnv;

/** Answers what is wrong with the signature; null when it is right. */
async function problemOf(request: IncomingMessage, body: Buffer): Promise<string | null> {
  const arrived = { method: request.method ?? '', url: request.url ?? '', rawHeaders: request.rawHeaders, body };
  const query = /[?&]X-Amz-Signature=([0-9a-f]{64})/.exec(arrived.url)?.[1];
  if (query !== undefined) return query === (await expectedQuerySignature(arrived, KEYS)) ? null : 'the signature of the URL';
  const own = /Signature=([0-9a-f]{64})$/.exec(request.headers.authorization ?? '')?.[1];
  if (own !== (await expectedSignature(arrived, KEYS))) return 'the signature';
  const hash = headersOf(request.rawHeaders).get('x-amz-content-sha256');
  const isHash = hash !== undefined && /^[0-9a-f]{64}$/.test(hash);
  return isHash && hash !== createHash('sha256').update(body).digest('hex') ? 'the hash of the body' : null;
}

/** The data of an aws-chunked body whose chunks are not signed. */
function withoutChunks(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.toString('latin1', at, end), 16);
    if (size === 0) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
}

/** Of `/big`, which nobody keeps. */
let takenBytes = 0;

async function store(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url?.startsWith('/big') === true) {
    for await (const part of request) takenBytes += (part as Buffer).length;
    response.setHeader('etag', '"e"').end();
    return;
  }
  const body = await readBody(request);
  const problem = await problemOf(request, body);
  if (problem !== null) {
    response
      .writeHead(403, { 'content-type': 'application/xml' })
      .end(`<Error><Code>SignatureDoesNotMatch</Code><Message>${problem}</Message></Error>`);
    return;
  }
  const [path = '', query = ''] = (request.url ?? '').split('?');
  if (request.method === 'PUT') {
    stored.set(path, request.headers['content-encoding'] === 'aws-chunked' ? withoutChunks(body) : body);
    response.setHeader('etag', '"e"').end();
  } else if (query.includes('list-type')) {
    response.setHeader('content-type', 'application/xml').end('<ListBucketResult><KeyCount>1</KeyCount></ListBucketResult>');
  } else response.end(stored.get(path));
}

async function queue(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const problem = await problemOf(request, await readBody(request));
  response.writeHead(problem === null ? 200 : 403, { 'content-type': 'application/x-amz-json-1.0' });
  const md5 = createHash('md5').update('hello').digest('hex');
  response.end(
    JSON.stringify(
      problem === null ? { MessageId: 'm-1', MD5OfMessageBody: md5 } : { __type: 'SignatureDoesNotMatch', message: problem },
    ),
  );
}

beforeAll(async () => {
  pki = makePki();
  provider = await startProvider(pki, { sites: { [S3]: store, 's3.eu-central-1.amazonaws.com': store, [SQS]: queue } });
  const ports = Object.fromEntries([S3, SQS].map((host) => [`${host}:443`, provider.port]));
  alterd = await startAlterd({ config: configFor(pki, ports) });
  await alterd.ok(['agent', 'create', 'maker']);
  const input = KEYS.secretAccessKey;
  const keyFile = join(alterd.home, 'key-id');
  writeFileSync(keyFile, KEYS.accessKeyId);
  await alterd.ok(['secret', 'add', 'aws', '--access-key-id-file', keyFile, '--secret-access-key-stdin'], { input });
  await alterd.ok(['grant', 'create', 'aws', '--agent', 'maker', '--allow-private', '--host', S3, '--host', SQS]);
  env = await alterd.clientEnv('maker');
});
afterAll(async () => {
  await alterd?.stop();
  await provider?.close();
});

async function run<T>(command: string, file: string, ...more: string[]): Promise<T> {
  const end = await runProgram(command, [join(PROJECT, 'test', 'e2e', 'programs', file), ...more], { env });
  expect(end.status, end.stderr).toBe(0);
  expect(end.stdout + end.stderr).not.toMatch(/SEKRET|AKIAREALKEY/);
  return JSON.parse(end.stdout) as T;
}

describe('an AWS client with placeholder keys', () => {
  it('finds them in its environment, and no real session token beside them', () => {
    expect(env.AWS_ACCESS_KEY_ID).toMatch(/^AKIA[A-Z2-7]{16}$/);
    expect(env.AWS_SESSION_TOKEN).toBe('');
  });

  if (findClient('@aws-sdk/client-s3') !== null)
    it('@aws-sdk/client-s3 stores, reads, streams, lists and presigns', async () => {
      const seen = await run<Record<string, unknown>>(process.execPath, 'aws.mjs');
      expect(seen).toEqual({
        keyId: env.AWS_ACCESS_KEY_ID,
        body: 'stored',
        keys: 1,
        fetched: { status: 200, bytes: 300_000 },
      });
      const hashes = provider.at(S3).map((call) => headersOf(call.rawHeaders).get('x-amz-content-sha256'));
      expect(hashes).toContain('STREAMING-UNSIGNED-PAYLOAD-TRAILER');
      for (const call of provider.at(S3)) expect(JSON.stringify(call)).not.toContain(env.AWS_ACCESS_KEY_ID);
    });

  if (findClient('@aws-sdk/client-s3') !== null)
    // PUT_MIB=2048 is what the limit was set for: 135 MiB then.
    it('a large upload is signed as it passes, in bounded memory', async () => {
      const mib = Number(process.env.PUT_MIB ?? 192);
      const { status, stderr } = await runProgram(
        process.execPath,
        [join(PROJECT, 'test/e2e/programs/aws-big.mjs'), String(mib)],
        {
          env,
          timeoutMs: 240_000,
        },
      );
      expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
      expect(takenBytes).toBeGreaterThan(mib * 1024 * 1024);
      if (process.platform !== 'linux') return;
      const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${alterd.pid}/status`, 'utf8'))?.[1]);
      expect(peakKib / 1024).toBeLessThan(150);
    }, 250_000);

  if (findClient('@aws-sdk/client-s3') !== null)
    it('@aws-sdk/client-s3 gets no signature for another region than the one that its grant is pinned to', async () => {
      const [grant] = await alterd.json<{ id: string }[]>(['grant', 'list']);
      const id = grant?.id as string;
      const pinned = await alterd.ok(['grant', 'update', id, '--aws-region', 'eu-central-1', '--aws-service', 's3']);
      expect(pinned).toContain('AWS Signature Version 4 for s3 in eu-central-1 alone');
      const before = provider.at(S3).length;
      const seen = await run<object>(process.execPath, 'aws-region.mjs', 'eu-central-1', 'us-east-1');
      expect(seen).toEqual({ 'eu-central-1': 300_000, 'us-east-1': 403 });
      expect(provider.at(S3).length).toBe(before + 1);
      const [row] = await alterd.json<{ request_id: string }[]>(['audit', 'list', '--error', 'signing_scope']);
      expect(await alterd.ok(['explain', row?.request_id as string])).toContain(`alterd grant update ${id} --aws-region REGION`);
      await alterd.ok(['grant', 'update', id, '--aws-region', 'any', '--aws-service', 'any']);
      expect(await run(process.execPath, 'aws-region.mjs', 'us-east-1')).toEqual({ 'us-east-1': 300_000 });
    });

  const boto = findClient('python boto3');
  if (boto !== null)
    it('boto3 stores and reads, and sends a message whose body it did not hash', async () => {
      expect(await run(boto, 'aws.py')).toEqual({ body: 'stored', sent: 'm-1' });
    });
});
