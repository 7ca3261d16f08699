/**
 * Bodies that are kept beside audit rows, where a grant says so: what the data plane hands to the journal, and what is read back.
 * SECURITY: what is in `CapturedBody` is as the wire had it. Nothing but the journal may take it, which redacts and seals it before
 * it is written anywhere.
 */

/** Which bodies a grant keeps. */
export type KeptBodies = 'none' | 'request' | 'response' | 'both';

export const KEPT_BODIES: readonly KeptBodies[] = ['none', 'request', 'response', 'both'];

/** How much of each body is kept where nothing else is said, and the most that can be said. */
export const DEFAULT_BODY_BYTES = 16_384;
export const MAX_BODY_BYTES = 262_144;

/**
 * Why something that was to be kept is not there: `coded` its coding can't be read, so it could not be redacted · `unsearched` the
 * grant's credential is too short to be searched for · `behind` the journal had to take in rows first · `full` audit.bodies_bytes
 * is used up · `failed` it could not be sealed.
 */
export type BodyDrop = 'coded' | 'unsearched' | 'behind' | 'full' | 'failed';

export type BodySide = 'request' | 'response';

/** The beginning of one body, without its content coding. */
export interface CapturedBody {
  readonly bytes: Buffer;
  /** Of the whole body: of a request as it was sent, of an answer as it was passed on. */
  readonly length: number;
  /** More followed than `bytes` has. */
  readonly truncated: boolean;
  readonly contentType: string | null;
  /** The coding that it was sent or passed on in; null for none. */
  readonly coding: string | null;
}

/** Of one exchange. A side that was not asked for, had no body or was dropped is null. */
export interface CapturedBodies {
  readonly request: CapturedBody | null;
  readonly response: CapturedBody | null;
  readonly dropped: BodyDrop | null;
  /** Placeholders that are known here: they are masked like secrets. */
  readonly placeholders: ReadonlySet<string>;
}

/** One body as it is read back: redacted. */
export interface StoredBody extends CapturedBody {
  /** How many values were masked. */
  readonly redacted: number;
}

export interface StoredBodies {
  readonly request: StoredBody | null;
  readonly response: StoredBody | null;
}

/** What a row says of the bodies beside it. */
export interface BodyMark {
  readonly bodies: Exclude<KeptBodies, 'none'> | null;
  /** Hex SHA-256 over what is stored, which is sealed: it says nothing of the text. */
  readonly body_digest: string | null;
  readonly body_dropped: BodyDrop | null;
}
