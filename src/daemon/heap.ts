/**
 * How V8 keeps the data plane's objects. It must be set before the first request: what V8 has decided by then, it keeps.
 */
import { setFlagsFromString } from 'node:v8';

/**
 * V8 notes which places in the code make objects that live long, and from then on makes them in old space at once. In a start,
 * the places of the request path look like that, and ever after each request leaves 2.5 KiB for the expensive collector.
 * Measured at 64 busy connections: without this, 92 µs of CPU a request in place of 70.
 */
export function keepRequestsYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
