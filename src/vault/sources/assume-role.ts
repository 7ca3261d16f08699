/**
 * STS AssumeRole: exchanges the stored keys for temporary ones of a role, which are what signs the agents' requests. Over the daemon's own
 * vetted way out, signed like any request. Must never answer with the stored keys when the role is refused.
 */
import { createHash } from 'node:crypto';
import type { SigV4Injection } from '../../domain/credential.ts';
import { AlterError } from '../../domain/errors.ts';
import type { HttpsAnswer, HttpsCall } from '../../domain/https-call.ts';
import { Secret } from '../../domain/secret.ts';
import { SigV4Signer } from '../../injection/sigv4.ts';
import { compileTemplate, renderTemplate } from '../../injection/template.ts';
import type { Fields, Freshness } from './fetched-fields.ts';
import { SourceFailure } from './source-failure.ts';

const LIFE_S = 3_600;
const RENEW_AHEAD_MS = 5 * 60_000;
/** AWS checks the end of a token when a request arrives there. */
const STOP_AHEAD_MS = 30_000;

const ROLE = /^arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/;

export interface Role {
  readonly arn: string;
  /** The host of STS, and the region that it is signed for. */
  readonly host: string;
  readonly region: string;
}

/** The role that an injection names with these fields; null for none. @throws SourceFailure */
export function roleOf(injection: SigV4Injection, fields: Fields): Role | null {
  const arn = rendered(injection.role ?? '', fields);
  if (arn === '') return null;
  const partition = ROLE.exec(arn)?.[1];
  if (partition === undefined) throw new SourceFailure('role_refused');
  const initial = { aws: 'us-east-1', 'aws-cn': 'cn-north-1', 'aws-us-gov': 'us-gov-west-1' }[partition] as string;
  const region = rendered(injection.region ?? '', fields) || initial;
  return { arn, region, host: `sts.${region}.amazonaws.com${partition === 'aws-cn' ? '.cn' : ''}` };
}

function rendered(text: string, fields: Fields): string {
  const template = compileTemplate(text, [...fields.keys()]);
  return template.problems.length > 0 ? '' : renderTemplate(template, (name) => fields.get(name)?.reveal() ?? '');
}

/** The field that is the whole of a template; '' when it is more than that. */
const fieldOf = (template: string): string => /^\{([a-z][a-z0-9_]*)\}$/.exec(template)?.[1] ?? '';

/** The fields with the role's keys in place of the stored ones. @throws SourceFailure */
export async function assumeRole(
  role: Role,
  injection: SigV4Injection,
  fields: Fields,
  call: HttpsCall,
  now: number,
): Promise<{ readonly fields: Fields; readonly freshness: Freshness }> {
  const names = [injection.key_id, injection.key, injection.token ?? ''].map(fieldOf);
  // SECURITY: where the keys can't all be replaced, stored and temporary ones would mix.
  if (names.includes('') || new Set(names).size !== 3) throw new SourceFailure('role_refused');
  const body = Buffer.from(
    new URLSearchParams({
      Action: 'AssumeRole',
      Version: '2011-06-15',
      RoleArn: role.arn,
      RoleSessionName: `alterd-${createHash('sha256').update(role.arn).digest('hex').slice(0, 12)}`,
      DurationSeconds: String(LIFE_S),
    }).toString(),
  );
  const answer = await send(role, injection, fields, body, call, now);
  if (answer.status !== 200) throw new SourceFailure(answer.status >= 500 ? 'role_unreachable' : 'role_refused');
  const text = answer.body.toString('utf8');
  const values = ['AccessKeyId', 'SecretAccessKey', 'SessionToken'].map((tag) => textOf(text, tag));
  const endsAt = Date.parse(textOf(text, 'Expiration'));
  if (Number.isNaN(endsAt) || endsAt <= now) throw new SourceFailure('role_answer_malformed');
  return {
    fields: new Map([...fields, ...names.map((name, i) => [name, new Secret(values[i] as string)] as const)]),
    freshness: {
      renewAt: Math.max(now, endsAt - Math.min(RENEW_AHEAD_MS, (endsAt - now) / 2)),
      endsAt: Math.max(now, endsAt - STOP_AHEAD_MS),
      isChanged: () => false,
    },
  };
}

async function send(
  role: Role,
  injection: SigV4Injection,
  fields: Fields,
  body: Buffer,
  call: HttpsCall,
  now: number,
): Promise<HttpsAnswer> {
  const token = rendered(injection.token ?? '', fields);
  const signer = new SigV4Signer({
    keyId: new Secret(rendered(injection.key_id, fields)),
    key: new Secret(rendered(injection.key, fields)),
    token: token === '' ? null : new Secret(token),
    region: role.region,
    service: 'sts',
    host: role.host,
  });
  const signed = signer.sign(
    {
      method: 'POST',
      scheme: 'https',
      authority: role.host,
      target: '/',
      headers: ['Content-Type', 'application/x-www-form-urlencoded'],
      hasBody: true,
    },
    { sha256: createHash('sha256').update(body).digest('hex'), bytes: null },
    now,
  );
  const headers = Object.fromEntries(
    signed.headers.flatMap((text, i) => (i % 2 === 0 ? [[text, signed.headers[i + 1] as string]] : [])),
  );
  try {
    return await call({ method: 'POST', url: `https://${role.host}/`, headers, body, allowPrivate: false });
  } catch (cause) {
    if (cause instanceof AlterError) throw new SourceFailure('role_unreachable', cause);
    throw cause;
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function textOf(xml: string, tag: string): string {
  const raw = new RegExp(`<${tag}>([^<]{1,8192})</${tag}>`).exec(xml)?.[1];
  if (raw === undefined) throw new SourceFailure('role_answer_malformed');
  const text = raw.trim().replace(/&(amp|lt|gt|quot|apos);/g, (_all, name: string) => ENTITIES[name] as string);
  if (!/^[\x21-\x7e]+$/.test(text)) throw new SourceFailure('role_answer_malformed');
  return text;
}
