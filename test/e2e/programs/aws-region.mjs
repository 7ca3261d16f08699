// An agent that reads from S3 and signs for the regions that it is given, on the endpoint of one of them: `aws-region.mjs REGION…`.
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';

const seen = {};
for (const region of process.argv.slice(2)) {
  const client = new S3Client({ region, endpoint: 'https://s3.eu-central-1.amazonaws.com', maxAttempts: 1 });
  try {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'stream' }));
    seen[region] = (await Body.transformToByteArray()).length;
  } catch (error) {
    seen[region] = error.$metadata?.httpStatusCode ?? error.message;
  }
}
process.stdout.write(JSON.stringify(seen));
