/**
 * What AWS does with a signed request, done by an implementation that is not ours: signs what arrived again with @smithy/signature-v4 and
 * compares. It must know nothing of the code under test.
 */
import { createHash, createHmac, type Hash } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';

export interface ArrivedRequest {
  readonly method: string;
  readonly url: string;
  /** Name, value … as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

class NodeSha256 {
  readonly #hash: Hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : (createHmac('sha256', bytesOf(secret)) as unknown as Hash);
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
  reset(): void {}
}

const bytesOf = (data: string | ArrayBuffer | ArrayBufferView): Buffer =>
  typeof data === 'string'
    ? Buffer.from(data, 'utf8')
    : ArrayBuffer.isView(data)
      ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      : Buffer.from(data);

export interface SignatureParts {
  readonly keyId: string;
  readonly day: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

/** The parts of an Authorization value. */
export function partsOf(authorization: string): SignatureParts {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (match === null) throw new Error(`not a signature: ${authorization}`);
  const [keyId, day, region, service, names, signature] = match.slice(1) as [string, string, string, string, string, string];
  return { keyId, day, region, service, signedHeaders: names.split(';'), signature };
}

export function headersOf(rawHeaders: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    found.set(name, found.has(name) ? `${found.get(name)},${value}` : value);
  }
  return found;
}

/** The SDK's view of a URL: decoded once. */
function queryOf(url: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {};
  const mark = url.indexOf('?');
  for (const [name, value] of new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))) {
    const before = query[name];
    query[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return query;
}

const pathOf = (url: string): string => url.split('?')[0] as string;

const signerOf = (keys: AwsKeys, region: string, service: string): SignatureV4 =>
  new SignatureV4({
    credentials: keys,
    region,
    service,
    sha256: NodeSha256 as never,
    uriEscapePath: !/^s3/.test(service),
    applyChecksum: false,
  });

const dateOf = (amz: string): Date => new Date(amz.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));

/** The signature that the request should have in its header, given these keys. */
export async function expectedSignature(request: ArrivedRequest, keys: AwsKeys): Promise<string> {
  const all = headersOf(request.rawHeaders);
  const parts = partsOf(all.get('authorization') ?? '');
  const headers = Object.fromEntries([...all].filter(([name]) => parts.signedHeaders.includes(name)));
  const signed = await signerOf(keys, parts.region, parts.service).sign(
    {
      method: request.method,
      protocol: 'https:',
      hostname: all.get('host') ?? '',
      path: pathOf(request.url),
      query: queryOf(request.url),
      headers,
      body: request.body,
    } as never,
    { signingDate: dateOf(all.get('x-amz-date') ?? ''), signableHeaders: new Set(parts.signedHeaders) },
  );
  return partsOf((signed.headers as Record<string, string>).authorization as string).signature;
}

/** The signature that a presigned URL should have. */
export async function expectedQuerySignature(request: ArrivedRequest, keys: AwsKeys): Promise<string> {
  const all = headersOf(request.rawHeaders);
  const query = queryOf(request.url) as Record<string, string>;
  const [, , region, service] = (query['X-Amz-Credential'] as string).split('/') as [string, string, string, string];
  const names = (query['X-Amz-SignedHeaders'] as string).split(';');
  const own = Object.fromEntries(
    Object.entries(query).filter(
      ([name]) => !/^X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token)$/.test(name),
    ),
  );
  const headers = Object.fromEntries([...all].filter(([name]) => names.includes(name)));
  const hash =
    /^s3/.test(service) && headers['x-amz-content-sha256'] === undefined ? { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } : {};
  const signed = await signerOf(keys, region, service).presign(
    {
      method: request.method,
      protocol: 'https:',
      hostname: all.get('host') ?? '',
      path: pathOf(request.url),
      query: own,
      headers: { ...headers, ...hash },
      body: request.body,
    } as never,
    {
      signingDate: dateOf(query['X-Amz-Date'] as string),
      expiresIn: Number(query['X-Amz-Expires']),
      unsignableHeaders: new Set(Object.keys(hash)),
      unhoistableHeaders: new Set([...names, ...Object.keys(hash)]),
    },
  );
  return (signed.query as Record<string, string>)['X-Amz-Signature'] as string;
}

/** Reads an aws-chunked body and checks each signature; answers the data. Written from the documentation of S3. */
export function openChunks(
  body: Buffer,
  seed: string,
  keys: AwsKeys,
  parts: SignatureParts,
  date: string,
): { data: Buffer; trailer: string[]; problems: string[] } {
  const mac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
  const key = mac(mac(mac(mac(`AWS4${keys.secretAccessKey}`, parts.day), parts.region), parts.service), 'aws4_request');
  const scope = `${parts.day}/${parts.region}/${parts.service}/aws4_request`;
  const hash = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
  const problems: string[] = [];
  const data: Buffer[] = [];
  const trailer: string[] = [];
  let previous = seed;
  let at = 0;
  const line = (): string => {
    const end = body.indexOf('\r\n', at);
    const text = body.toString('latin1', at, end);
    at = end + 2;
    return text;
  };
  for (;;) {
    const [size, signature] = line().split(';chunk-signature=') as [string, string];
    const length = Number.parseInt(size, 16);
    const chunk = body.subarray(at, at + length);
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${hash('')}\n${hash(chunk)}`;
    const expected = createHmac('sha256', key).update(text).digest('hex');
    if (expected !== signature) problems.push(`chunk at ${at}`);
    previous = signature;
    at += length;
    data.push(chunk);
    if (length === 0) break;
    at += 2;
  }
  for (let text = line(); text !== '' && at < body.length; text = line()) trailer.push(text);
  const last = trailer.find((text) => text.startsWith('x-amz-trailer-signature:'));
  if (last !== undefined) {
    const fields = trailer.filter((text) => text !== last).map((text) => `${text}\n`);
    const text = `AWS4-HMAC-SHA256-TRAILER\n${date}\n${scope}\n${previous}\n${hash(fields.sort().join(''))}`;
    if (last.slice('x-amz-trailer-signature:'.length) !== createHmac('sha256', key).update(text).digest('hex'))
      problems.push('trailer');
  }
  return { data: Buffer.concat(data), trailer, problems };
}
