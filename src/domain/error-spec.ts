/** The shape of one entry in the table of refusals and failures. Types only. */

/** How one code behaves. `D` is the shape of its details; keys are snake_case because they go out on the wire. */
export interface ErrorSpec<D extends object> {
  /** Class name of the same failure in Alter's SDKs. */
  readonly sdkName: string;
  /** Status when the proxy answers; null when the proxy never raises it. */
  readonly proxyStatus: number | null;
  /** Status when the Vault API answers; null when the API never raises it. */
  readonly apiStatus: number | null;
  /** RFC 9457 title: the same for each occurrence. */
  readonly title: string;
  /** RFC 9457 detail: this occurrence. Must not contain a secret, a stack or a file of the daemon. */
  readonly detail: (d: D) => string;
  /** The next command or action; undefined when there is none. */
  readonly hint: (d: D) => string | undefined;
  /** Seconds for Retry-After; absent when a retry can't help. */
  readonly retryAfterSeconds?: number;
}
