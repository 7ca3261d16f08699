/**
 * One bounded HTTPS exchange of the daemon itself: to token endpoints, never for an agent. The vault knows it as this type; the data
 * plane implements it behind the same address policy and the same verification as everything that it dials.
 */

export interface HttpsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** May hold secrets: it is sent once and not kept. */
  readonly body?: Buffer | undefined;
  /** The address may be private: the operator said so for this provider. */
  readonly allowPrivate: boolean;
  /** Plain http is taken where it leads to this machine. */
  readonly allowLoopbackHttp?: boolean | undefined;
  /** Gives the exchange up. */
  readonly signal?: AbortSignal | undefined;
}

export interface HttpsAnswer {
  readonly status: number;
  /** Lower case, without parameters; '' when there is none. */
  readonly contentType: string;
  readonly retryAfterS: number | null;
  readonly body: Buffer;
}

/**
 * Redirects are answers like any other: nothing is followed and nothing is sent again.
 * @throws AlterError destination_refused, upstream_unreachable, upstream_untrusted, upstream_timeout, upstream_protocol
 */
export type HttpsCall = (request: HttpsRequest) => Promise<HttpsAnswer>;
