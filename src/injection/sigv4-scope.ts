/**
 * For which region and service a request is to be signed: what the client's own signature says, else what the host says.
 * A client signs with placeholders, and knows its scope better than any table; nothing of its signature but the scope is used.
 */
import { indexOfTwin } from './field-name.ts';
import { filterQuery, foldParameter } from './query.ts';

export interface SigningScope {
  readonly region: string;
  readonly service: string;
}

/** The client's own signature, as far as it is of use. */
export interface ClientSignature {
  readonly form: 'header' | 'query';
  readonly keyId: string;
  /** null when it is not a scope of Signature Version 4. */
  readonly scope: SigningScope | null;
  /** Lower-case names that the client had signed. */
  readonly signedHeaders: ReadonlySet<string>;
  /** Of the query form: when it was signed and for how long, as the client wrote it. */
  readonly date: string | null;
  readonly expires: string | null;
}

const SCOPE_PART = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;
const NO_NAMES: ReadonlySet<string> = new Set();

/** Parameters of the query form, folded. */
export const QUERY_PLACES: ReadonlySet<string> = new Set(
  ['algorithm', 'credential', 'date', 'expires', 'signedheaders', 'signature', 'security-token'].map((name) =>
    foldParameter(`X-Amz-${name}`),
  ),
);

/** The key id in the `Credential=` of an Authorization value or alone in X-Amz-Credential; '' when there is none. */
export function keyIdOf(credential: string): string {
  const slash = credential.indexOf('/');
  return slash === -1 ? credential : credential.slice(0, slash);
}

/** The credential part of `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`; null for anything else. */
export function credentialOf(authorization: string): string | null {
  if (!/^AWS4-[A-Z0-9-]+[ ,]/i.test(authorization)) return null;
  return /[ ,]Credential=([^\s,]*)/i.exec(authorization)?.[1] ?? null;
}

/** The client's signature: that of the header when there are both; null when there is none. */
export function readSignature(headers: readonly string[], target: string): ClientSignature | null {
  for (let i = indexOfTwin(headers, 'authorization', 0); i !== -1; i = indexOfTwin(headers, 'authorization', i + 2)) {
    const value = headers[i + 1] as string;
    const credential = credentialOf(value);
    if (credential === null) continue;
    const names = /[ ,]SignedHeaders=([^\s,]*)/i.exec(value)?.[1];
    return { form: 'header', ...partsOf(credential), signedHeaders: namesOf(names), date: null, expires: null };
  }
  return readQuery(target);
}

function readQuery(target: string): ClientSignature | null {
  const mark = target.indexOf('?');
  if (mark === -1 || !/x-amz-/i.test(target)) return null;
  const found = new Map<string, string>();
  filterQuery(target.slice(mark + 1), (name, value) => {
    if (QUERY_PLACES.has(name) && !found.has(name)) found.set(name, value);
    return true;
  });
  const credential = found.get('x-amz-credential');
  if (credential === undefined) return null;
  return {
    form: 'query',
    ...partsOf(credential),
    signedHeaders: namesOf(found.get('x-amz-signedheaders')),
    date: found.get('x-amz-date') ?? null,
    expires: found.get('x-amz-expires') ?? null,
  };
}

function partsOf(credential: string): { keyId: string; scope: SigningScope | null } {
  const [keyId = '', , region = '', service = '', end] = credential.split('/');
  const isScope = end === 'aws4_request' && SCOPE_PART.test(region) && SCOPE_PART.test(service);
  return { keyId, scope: isScope ? { region, service } : null };
}

const namesOf = (list: string | undefined): ReadonlySet<string> =>
  list === undefined || list === '' ? NO_NAMES : new Set(list.toLowerCase().split(';'));

/** Services whose hosts do not begin with the name that they are signed with. */
const SIGNING_NAMES: Readonly<Record<string, string>> = {
  'api.ecr': 'ecr',
  'api.ecr-public': 'ecr-public',
  'api.elastic-inference': 'elastic-inference',
  'api.mediatailor': 'mediatailor',
  'api.pricing': 'pricing',
  'api.sagemaker': 'sagemaker',
  'api.tunneling.iot': 'IoTSecuredTunneling',
  appconfigdata: 'appconfig',
  appstream2: 'appstream',
  'bedrock-agent': 'bedrock',
  'bedrock-agent-runtime': 'bedrock',
  'bedrock-runtime': 'bedrock',
  cloudhsmv2: 'cloudhsm',
  'data.iot': 'iotdata',
  'data.jobs.iot': 'iot-jobs-data',
  'data.mediastore': 'mediastore',
  'data-ats.iot': 'iotdata',
  'dynamodb-streams': 'dynamodb',
  'edge.sagemaker': 'sagemaker',
  email: 'ses',
  'entitlement.marketplace': 'aws-marketplace',
  'metering.marketplace': 'aws-marketplace',
  'models.lex': 'lex',
  'models-v2-lex': 'lex',
  'personalize-events': 'personalize',
  'personalize-runtime': 'personalize',
  'portal.sso': 'awsssoportal',
  queue: 'sqs',
  'runtime.lex': 'lex',
  'runtime-v2-lex': 'lex',
  'runtime.sagemaker': 'sagemaker',
  'streams.dynamodb': 'dynamodb',
  transcribestreaming: 'transcribe',
};

const REGION = /^[a-z]{2,3}(?:-[a-z]+)+-\d{1,2}$/;
/** Global services, and the region in whose name the partition signs them. */
const GLOBAL_REGION: readonly (readonly [suffix: string, region: string])[] = [
  ['.amazonaws.com.cn', 'cn-north-1'],
  ['.amazonaws.com', 'us-east-1'],
  ['.api.aws', 'us-east-1'],
  ['.on.aws', 'us-east-1'],
];

/** Region and service that a host of AWS names; null for other hosts and where the host does not say. */
export function scopeOfHost(host: string): SigningScope | null {
  const found = GLOBAL_REGION.find(([suffix]) => host.endsWith(suffix));
  if (found === undefined) return null;
  const labels = host
    .slice(0, -found[0].length)
    .split('.')
    .filter((label) => label !== 'dualstack' && label !== 'vpce');
  const at = labels.findIndex((label) => REGION.test(label));
  // Before 2019, S3 wrote its region behind a hyphen.
  const hyphenated = labels
    .map((label) => /^s3-(?:fips-)?(.+)$/.exec(label)?.[1])
    .find((rest) => rest !== undefined && REGION.test(rest));
  if (hyphenated !== undefined) return { region: hyphenated, service: 's3' };
  const region = at === -1 ? found[1] : (labels[at] as string);
  const names = at === -1 ? labels : labels.slice(0, at);
  // A domain of OpenSearch and of old S3 websites has its service behind the region.
  const behind = at === -1 ? undefined : labels[at + 1];
  const service = behind ?? serviceOf(names);
  return service === null ? null : { region, service };
}

function serviceOf(labels: readonly string[]): string | null {
  const names = labels.map((label) => label.replace(/^(.+)-fips$/, '$1'));
  const last = names.at(-1);
  if (last === undefined || last === '') return null;
  if (last === 'lambda-url') return 'lambda';
  const pair = names.length > 1 ? `${names.at(-2)}.${last}` : last;
  return SIGNING_NAMES[pair] ?? SIGNING_NAMES[last] ?? last;
}
