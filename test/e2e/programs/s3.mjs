// An agent that stores and reads an object with keys of its own: `s3.mjs ENDPOINT CA_FILE`. It trusts the store's CA alone.
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

const [endpoint, caFile] = process.argv.slice(2);
const client = new S3Client({
  endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  maxAttempts: 1,
  credentials: { accessKeyId: 'agents-own-key-id', secretAccessKey: 'agents-own-key' },
  requestHandler: { httpsAgent: new Agent({ ca: readFileSync(caFile) }) },
});
await client.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'a key/ü.txt', Body: 'stored' }));
const { Body } = await client.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'a key/ü.txt' }));
process.stdout.write(JSON.stringify({ body: await Body.transformToString() }));
