// An agent that uses S3 with what the environment gives it: `aws.mjs CA_FILE`. It has placeholder keys and knows nothing of a proxy but its variables.
import { createHash, createHmac } from 'node:crypto';
import { request } from 'node:https';
import { PassThrough, Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { SignatureV4 } from '@smithy/signature-v4';

const client = new S3Client({ region: 'eu-central-1', maxAttempts: 1 });
const where = { Bucket: 'bucket', Key: 'a key/ü+(1).txt' };
await client.send(new PutObjectCommand({ ...where, Body: 'stored', Metadata: { owner: 'maker  two' } }));
const got = await client.send(new GetObjectCommand({ ...where, Range: 'bytes=0-5' }));
const body = await got.Body.transformToString();
// Without a hash beforehand, the SDK sends aws-chunked with a checksum behind the body.
const stream = Readable.from([Buffer.alloc(200_000, 'a'), Buffer.alloc(100_000, 'b')]).pipe(new PassThrough());
await client.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'stream', Body: stream, ContentLength: 300_000 }));
const listed = await client.send(new ListObjectsV2Command({ Bucket: 'bucket', Prefix: 'a key/', MaxKeys: 2 }));

class Sha256 {
  #hash = createHash('sha256');
  constructor(secret) {
    if (secret !== undefined) this.#hash = createHmac('sha256', secret);
  }
  update(data) {
    this.#hash.update(data);
  }
  async digest() {
    return this.#hash.digest();
  }
}
const credentials = await client.config.credentials();
const signer = new SignatureV4({ credentials, region: 'eu-central-1', service: 's3', sha256: Sha256, uriEscapePath: false });
const presigned = await signer.presign(
  {
    method: 'GET',
    protocol: 'https:',
    hostname: 'bucket.s3.eu-central-1.amazonaws.com',
    path: '/stream',
    headers: { host: 'bucket.s3.eu-central-1.amazonaws.com' },
    query: {},
  },
  { expiresIn: 900 },
);
const query = new URLSearchParams(presigned.query).toString().replaceAll('+', '%20');
const fetched = await new Promise((resolve, reject) => {
  request(`https://${presigned.hostname}${presigned.path}?${query}`, (response) => {
    let bytes = 0;
    response.on('data', (part) => (bytes += part.length));
    response.on('end', () => resolve({ status: response.statusCode, bytes }));
  })
    .on('error', reject)
    .end();
});
process.stdout.write(JSON.stringify({ keyId: credentials.accessKeyId, body, keys: listed.KeyCount, fetched }));
