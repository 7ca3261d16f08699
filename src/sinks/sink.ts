/** What every kind of sink is: it takes items in order and says when they are delivered. Nothing here opens anything. */

/** A row or a checkpoint on its way out. */
export interface SinkItem {
  readonly kind: 'row' | 'checkpoint';
  readonly n: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** One line of JSON, ASCII, without its line feed: what `alterd audit verify --export` reads. */
  readonly line: string;
  /** The members of the line. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What the receiver has against items that it will not be sent again; null when there is nothing. */
export type Complaint = string | null;

export interface Sink {
  /**
   * Resolves when the receiver has taken all of them, as far as its protocol can say so; throws to have them sent again. Items may
   * be sent twice, never left out. @throws anything; the message is shown to the operator and must not quote what a receiver said
   */
  deliver(items: readonly SinkItem[]): Promise<Complaint>;
  /** For receivers that acknowledge nothing: throws once when one broke off since. @throws ReceiverLost */
  check?(): void;
  /** Called when one breaks off, so that nobody waits for the next row to find out. */
  onLost?: () => void;
  close(): void;
}

/** The receiver went away: what was given to it just before may be lost with it. */
export class ReceiverLost extends Error {}

/** The receiver takes less at once. */
export class TooMuchAtOnce extends Error {}
