/** How a sink of the audit journal is doing, for status and metrics. */
export interface SinkStatus {
  readonly name: string;
  readonly kind: string;
  /** The last row that was delivered, and how many wait behind it. */
  readonly n: number;
  readonly lag: number;
  /** Rows and checkpoints since the start. */
  readonly delivered: number;
  /** Attempts that failed since the last one that did not. */
  readonly failures: number;
  /** Why the last attempt failed; null when it did not. Never quotes what a receiver said. */
  readonly error: string | null;
  /** Epoch milliseconds. */
  readonly deliveredAt: number | null;
  /** Rows that retention removed before they could be delivered. */
  readonly skipped: number;
}
