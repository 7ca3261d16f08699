// An agent that streams an object of this many MiB to S3 without a hash of it: `aws-big.mjs MIB`.
import { Readable } from 'node:stream';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

const [, , mib] = process.argv;
const block = Buffer.alloc(1024 * 1024, 'x');
function* blocks() {
  for (let i = 0; i < Number(mib); i++) yield block;
}
const Body = Readable.from(blocks(), { objectMode: false });
const client = new S3Client({ region: 'eu-central-1', maxAttempts: 1 });
await client.send(new PutObjectCommand({ Bucket: 'bucket', Key: 'big', Body, ContentLength: Number(mib) * block.length }));
console.log(JSON.stringify({ sent: Number(mib) }));
