/**
 * What a credential is to the exchange when it signs requests instead of filling places: the last change of a head, made from
 * what is about to be sent and nothing else. A signer must never sign for another host than the authority that it is given.
 */

/** A request as it will leave, but for the signature. */
export interface UnsignedRequest {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** The value of Host, byte for byte (S-19). */
  readonly authority: string;
  readonly target: string;
  /** Flat list without Host and framing. */
  readonly headers: readonly string[];
  readonly hasBody: boolean;
}

export interface SignedRequest {
  readonly headers: string[];
  readonly target: string;
  /** Signs the pieces of the body as they pass; null when the body passes as it is. */
  readonly body: BodyRewriter | null;
}

/** Rewrites one body in flight without a change of its length. */
export interface BodyRewriter {
  /** What may go on now; the pieces are no part of `slice` once the call returns. @throws AlterError malformed_request */
  push(slice: Buffer): Buffer[];
  /** Called at the end of the body. @throws AlterError malformed_request when something is missing */
  end(): void;
}

/** What the signature must know of the body before the head can leave. */
export type BodyNeed = 'nothing' | 'sha256' | 'bytes';

export interface BodyDigest {
  /** Hex. */
  readonly sha256: string;
  /** The body itself, where `bytes` was asked for. */
  readonly bytes: Buffer | null;
}

export interface RequestSigner {
  /** Names of the headers that it fills, folded: nothing else may add to them. */
  readonly names: readonly string[];
  /** What the client has in the places that the signer fills: bits of presence.ts. */
  presence(headers: readonly string[], target: string, placeholder: string | null): number;
  /** @throws AlterError malformed_request, policy_violation */
  needs(request: UnsignedRequest): BodyNeed;
  /**
   * The request with its signature; everything of the client's own signature is gone from it.
   * @param body null when nothing was needed
   * @throws AlterError malformed_request, policy_violation
   */
  sign(request: UnsignedRequest, body: BodyDigest | null, now: number): SignedRequest;
}
