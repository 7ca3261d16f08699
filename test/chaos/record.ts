/** What happened, as the judges of a run need it: requests by path, markers by their end, and what went wrong. Keeps everything. */

export interface Request {
  readonly path: string;
  readonly agent: string;
  /** By performance.now(). */
  readonly sentAt: number;
  /** Null while there is no answer; -1 when none came. */
  status: number | null;
  error: string | null;
  /** As the daemon said it. */
  id: string | null;
  answer: string;
  arrivals: number;
}

/** A static secret of one grant of one agent. */
export interface Marker {
  readonly agent: string;
  /** Of all grants; a later one of an agent is made when the one before has ended. */
  readonly no: number;
  readonly grantId: string;
  /** When the vault said that its grant has ended, and from when on it must be refused. */
  endedAt: number | null;
  refusedFrom: number;
}

export class ChaosRecord {
  readonly requests = new Map<string, Request>();
  readonly markers = new Map<string, Marker>();
  readonly problems: string[] = [];
  readonly story: string[] = [];
  /** By agent: the newest grant that was used, and when. */
  readonly #newest = new Map<string, { readonly no: number; readonly at: number }>();
  readonly #startedAt = performance.now();
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  tell(text: string): void {
    const line = `${((performance.now() - this.#startedAt) / 1000).toFixed(3).padStart(8)} ${text}`;
    this.story.push(line);
    this.#print(line);
  }

  fault(text: string): undefined {
    this.problems.push(text);
    this.tell(`WRONG ${text}`);
  }

  /** A static secret arrived at the origin. */
  judgeMarker(path: string, authorization: string): undefined {
    const request = this.requests.get(path);
    if (request === undefined) return this.fault(`the origin got ${path}, which nobody asked for`);
    request.arrivals++;
    if (request.arrivals > 1) this.fault(`${path} arrived ${request.arrivals} times`);
    const marker = this.markers.get(authorization.replace(/^Bearer /, ''));
    if (marker === undefined) return this.fault(`${path} arrived with no known secret: ${authorization.slice(0, 60)}`);
    if (marker.agent !== request.agent) this.fault(`${path} of ${request.agent} arrived with the secret of ${marker.agent}`);
    const newest = this.#newest.get(marker.agent);
    // Who has used the next grant knew that this one had ended: nothing may make that forgotten.
    if (newest !== undefined && marker.no < newest.no && request.sentAt > newest.at)
      this.fault(
        `${path} used grant ${marker.grantId} again, ${Math.round(request.sentAt - newest.at)} ms after one that was made later`,
      );
    if (newest === undefined || marker.no > newest.no) this.#newest.set(marker.agent, { no: marker.no, at: performance.now() });
    if (marker.endedAt !== null && request.sentAt > marker.refusedFrom)
      this.fault(
        `${path} used grant ${marker.grantId}, ${Math.round(request.sentAt - marker.endedAt)} ms after the vault said that it had ended (${Math.round(marker.refusedFrom - marker.endedAt)} ms are allowed)`,
      );
  }
}
