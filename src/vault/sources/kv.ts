/**
 * KV version 2 of HashiCorp Vault and OpenBao: one field of one secret, read with a token from a file. Over the daemon's own vetted way out.
 * Must never write, list or renew anything there.
 */
import { AlterError } from '../../domain/errors.ts';
import type { HttpsAnswer, HttpsCall } from '../../domain/https-call.ts';
import { readPrivateValue } from './private-value.ts';
import type { SecretSource } from './source.ts';
import { SourceFailure } from './source-failure.ts';

type VaultSource = Extract<SecretSource, { kind: 'vault' }>;

/** @throws SourceFailure */
export async function readKv(source: VaultSource, call: HttpsCall): Promise<string> {
  const encoded = (path: string): string => path.split('/').map(encodeURIComponent).join('/');
  const answer = await ask(call, {
    method: 'GET',
    url: `${source.origin}/v1/${encoded(source.mount)}/data/${encoded(source.path)}`,
    headers: {
      'x-vault-token': tokenOf(source.tokenFile),
      'x-vault-request': 'true',
      ...(source.namespace === null ? {} : { 'x-vault-namespace': source.namespace }),
    },
    // The operator named this server, and such servers are inside.
    allowPrivate: true,
  });
  if (answer.status === 404) throw new SourceFailure('source_missing');
  if (answer.status !== 200)
    throw new SourceFailure(answer.status === 403 || answer.status === 400 ? 'vault_refused' : 'vault_unreachable');
  return fieldOf(answer.body, source.field);
}

async function ask(call: HttpsCall, request: Parameters<HttpsCall>[0]): Promise<HttpsAnswer> {
  try {
    return await call(request);
  } catch (cause) {
    if (cause instanceof AlterError) throw new SourceFailure('vault_unreachable', cause);
    throw cause;
  }
}

function tokenOf(path: string): string {
  let token: string;
  try {
    token = readPrivateValue(path).text;
  } catch (cause) {
    throw new SourceFailure('vault_token_unreadable', cause);
  }
  if (!/^[\x21-\x7e]{1,4096}$/.test(token)) throw new SourceFailure('vault_token_unreadable');
  return token;
}

function fieldOf(body: Buffer, field: string): string {
  let document: { data?: { data?: Record<string, unknown> | null } };
  try {
    document = JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new SourceFailure('vault_answer_malformed', cause);
  }
  const data = document?.data?.data;
  if (typeof data !== 'object' || data === null) throw new SourceFailure('vault_answer_malformed');
  const value = Object.hasOwn(data, field) ? data[field] : undefined;
  if (typeof value !== 'string' || value === '') throw new SourceFailure('vault_field_missing');
  return value;
}
