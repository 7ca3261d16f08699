/** What went wrong between a host and its vault, in the words of the error table: problem documents, TLS, sockets. Pure. */
import { AlterError, ERRORS, type ErrorCode, type ErrorDetails } from '../domain/errors.ts';

/** A refusal of the vault becomes the same error again, with its code, details and hint. */
export function refusalOf(status: number, text: string): AlterError {
  let problem: Record<string, unknown> = {};
  try {
    problem = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // Something between the two answered: a proxy, a load balancer.
  }
  const { type: _type, title: _title, status: _status, detail: _detail, error, hint, request_id, ...details } = problem;
  if (typeof error !== 'string' || !Object.hasOwn(ERRORS, error))
    return new AlterError('vault_unavailable', { reason: `it answered with status ${status}` }, { hint: REACH_HINT });
  const all = { ...details, ...(request_id === undefined ? {} : { request_id }), ...(hint === undefined ? {} : { hint }) };
  return new AlterError(error as ErrorCode, all as unknown as ErrorDetails<ErrorCode>, typeof hint === 'string' ? { hint } : {});
}

/** A failure of the connection. */
export function connectionError(cause: unknown, url: string): AlterError {
  if (cause instanceof AlterError) return cause;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
  if (UNTRUSTED.has(code) || code.startsWith('ERR_TLS_') || code.startsWith('CERT_'))
    return new AlterError(
      'vault_untrusted',
      { url, reason: UNTRUSTED.get(code) ?? `its certificate is not accepted (${code})` },
      { cause },
    );
  return new AlterError('vault_unavailable', { reason: `${url} can't be reached (${code})` }, { cause, hint: REACH_HINT });
}

const REACH_HINT = 'Does `alterd vault start` run there, and is the port open from here? `curl -k URL/healthz` says.';

const UNTRUSTED: ReadonlyMap<string, string> = new Map([
  ['SELF_SIGNED_CERT_IN_CHAIN', 'its certificate comes from another authority'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate comes from another authority'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'its certificate comes from another authority'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'its certificate comes from another authority'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'its certificate comes from another authority'],
  ['CERT_SIGNATURE_FAILURE', 'its certificate is not signed by the authority'],
  ['CERT_HAS_EXPIRED', 'its certificate has expired, or the clock of this host is wrong'],
  ['CERT_NOT_YET_VALID', 'its certificate is not valid yet, or the clock of this host is wrong'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate is for another name: add this one to vault_server.public_names there'],
]);
