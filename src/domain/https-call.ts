/**
 * The doorway for calls that the daemon makes of its own accord: to identity providers, never for an agent. Whoever implements it
 * judges the address like that of any other dial, verifies the certificate, follows no redirect and bounds time and size.
 */
export interface HttpsRequest {
  readonly url: string;
  readonly method: string;
  /** Names as they go out. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | null;
}

export interface HttpsAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** @throws AlterError destination_refused, upstream_unreachable, upstream_untrusted, upstream_timeout, upstream_protocol */
export type HttpsCall = (request: HttpsRequest) => Promise<HttpsAnswer>;
