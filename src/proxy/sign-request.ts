/**
 * Step 6 for a credential that signs: the last change of a head, over exactly what is sent. Where the signature needs the body, the body
 * is held first: in memory as long as it is small, then in an encrypted file. Must never change a head that was signed.
 */
import { AlterError } from '../domain/errors.ts';
import type { ClientIdentity } from '../injection/client-identity.ts';
import type { InjectedRequest } from '../injection/inject.ts';
import type { BodyDigest, BodyRewriter, RequestSigner, UnsignedRequest } from '../injection/signer.ts';
import { sha256Hex } from '../injection/sigv4-key.ts';
import type { AnswerGuard } from './answer-guard.ts';
import { HeldBody, holdBody } from './held-body.ts';
import type { AgentReply, AgentRequest } from './message.ts';
import type { Route } from './route.ts';
import { spoolBody } from './spooled-body.ts';

/** A request that is ready to leave, and what its answer has to pass; null where no grant is involved. */
export interface PreparedRequest extends InjectedRequest {
  readonly guard: AnswerGuard | null;
  readonly rewriter: BodyRewriter | null;
  readonly identity: ClientIdentity | null;
  /** Of the material; null without any. */
  readonly version: number | null;
}

interface Signed {
  readonly request: AgentRequest;
  readonly injected: PreparedRequest;
}

/** @throws AlterError malformed_request, policy_violation, request_too_large; BodyAborted */
export async function signRequest(
  plane: { readonly ruleBodyBytes: number },
  route: Route,
  asked: AgentRequest,
  reply: AgentReply,
  injected: PreparedRequest,
  signer: RequestSigner,
): Promise<Signed> {
  const { scheme, authority } = route.destination;
  const unsigned: UnsignedRequest = {
    method: asked.method,
    scheme,
    authority,
    target: injected.target,
    headers: injected.headers,
    hasBody: asked.framing.kind !== 'none',
  };
  const need = signer.needs(unsigned);
  if (need === 'nothing') return { request: asked, injected: signed(injected, signer, unsigned, null) };
  const { request, digest } = need === 'bytes' ? await held(plane, asked, reply) : await hashed(asked, reply);
  try {
    const headers = request === asked ? injected.headers : withoutExpectation(injected.headers);
    return { request, injected: signed(injected, signer, { ...unsigned, headers }, digest) };
  } catch (thrown) {
    request.body.dispose?.();
    throw thrown;
  }
}

function signed(
  injected: PreparedRequest,
  signer: RequestSigner,
  unsigned: UnsignedRequest,
  digest: BodyDigest | null,
): PreparedRequest {
  const { headers, target, body } = signer.sign(unsigned, digest, Date.now());
  return { ...injected, headers, target, rewriter: body };
}

interface Digested {
  readonly request: AgentRequest;
  readonly digest: BodyDigest;
}

async function held(plane: { readonly ruleBodyBytes: number }, asked: AgentRequest, reply: AgentReply): Promise<Digested> {
  const request = asked.body instanceof HeldBody ? asked : await holdBody(asked, reply, plane.ruleBodyBytes);
  if (request === null) {
    const reason = `its body is signed, and is longer than ${plane.ruleBodyBytes} bytes`;
    throw new AlterError('request_too_large', { reason, proxy_status: 413 });
  }
  const { bytes } = request.body as HeldBody;
  return { request, digest: { sha256: sha256Hex(bytes), bytes } };
}

async function hashed(asked: AgentRequest, reply: AgentReply): Promise<Digested> {
  if (asked.body instanceof HeldBody)
    return { request: asked, digest: { sha256: sha256Hex(asked.body.bytes), bytes: asked.body.bytes } };
  const request = await spoolBody(asked, reply);
  return { request, digest: { sha256: request.body.sha256, bytes: null } };
}

function withoutExpectation(headers: readonly string[]): string[] {
  return headers.filter((_text, i) => (headers[i - (i % 2)] as string).toLowerCase() !== 'expect');
}
