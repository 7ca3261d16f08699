/** How notices are doing, for status. */
export interface NoticeStatus {
  readonly name: string;
  /** Never the path, which may be a secret. */
  readonly host: string;
  /** With the one that is being posted. */
  readonly queued: number;
  /** Since the start. */
  readonly delivered: number;
  /** Given up since the start, or crowded out of the queue. */
  readonly failed: number;
  /** Why the last one could not be delivered; null when it could. Never quotes what a receiver said. */
  readonly error: string | null;
  /** Epoch milliseconds. */
  readonly deliveredAt: number | null;
}
