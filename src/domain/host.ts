/**
 * Canonical hosts and authorities: the only reader of host text from the wire and of host patterns in grants.
 * One spelling for each host, or a refusal: whatever two parsers could read differently is never passed on (S-01 … S-20).
 * It must never look anything up, and never repeat the text in an error: an authority may hold a password.
 */
import { domainToASCII, domainToUnicode } from 'node:url';
import { type Destination, destinationOf, type Scheme } from './destination.ts';
import { AlterError } from './errors.ts';
import { canonicalIPv4, canonicalIPv6, endsInNumber } from './ip-literal.ts';
import { isSharedSuffix } from './public-suffix.ts';

export interface CanonicalHost {
  /** See the invariant of Destination. */
  readonly host: string;
  /** 0 for a name, 4 or 6 for an address literal. */
  readonly family: 0 | 4 | 6;
}

const ALNUM = 1;
const UPPER = 2;
const HYPHEN = 3;
const DOT = 4;
const COLON = 5;

/** What each byte may be in a host; 0 for what must not be there (with `_`: strict LDH, S-13). */
const CLASS = new Uint8Array(128);
for (const c of 'abcdefghijklmnopqrstuvwxyz0123456789') CLASS[c.charCodeAt(0)] = ALNUM;
for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') CLASS[c.charCodeAt(0)] = UPPER;
CLASS[0x2d] = HYPHEN;
CLASS[0x2e] = DOT;
CLASS[0x3a] = COLON;

const MAX_LABEL = 63;
const MAX_NAME = 253;
const MAX_PORT = 65_535;

const malformed = (reason: string): AlterError => new AlterError('malformed_request', { reason });

/**
 * Reads a host as it stands on the wire: a name, an IPv4 address in any spelling, or an IPv6 address (in brackets or bare).
 * @throws AlterError malformed_request
 */
export function parseHost(raw: string): CanonicalHost {
  if (raw.charCodeAt(0) === 0x5b) return parseBracketed(raw);
  // S-07: exactly one trailing dot is the same name; a second one leaves an empty label and is refused below.
  const end = raw.endsWith('.') ? raw.length - 1 : raw.length;
  if (end === 0 || end > MAX_NAME) throw malformed('the host is empty or too long');
  let folded = false;
  let hyphens = false;
  let labelAt = 0;
  for (let i = 0; i <= end; i++) {
    // Past 127 the table answers undefined, which is refused like 0.
    const kind = i === end ? DOT : CLASS[raw.charCodeAt(i)];
    if (kind === ALNUM) continue;
    if (kind === UPPER) folded = true;
    else if (kind === HYPHEN) hyphens = true;
    else if (kind === DOT) {
      if (i === labelAt || i - labelAt > MAX_LABEL) throw malformed('a label of the host is empty or too long');
      if (raw.charCodeAt(labelAt) === 0x2d || raw.charCodeAt(i - 1) === 0x2d)
        throw malformed('a label of the host has a hyphen at its edge');
      labelAt = i + 1;
    } else if (kind === COLON) return parseAddress6(raw);
    else throw malformed('the host has a character that is not allowed');
  }
  const cut = end === raw.length ? raw : raw.slice(0, end);
  const host = folded ? cut.toLowerCase() : cut;
  if (endsInNumber(host)) {
    // SECURITY: resolvers read such names as addresses, so they must reach the address policy as addresses (S-11).
    const address = canonicalIPv4(host);
    if (address === null) throw malformed('the host looks like an IPv4 address but is none');
    return { host: address, family: 4 };
  }
  if (hyphens && host.includes('xn--')) checkALabels(host);
  return { host, family: 0 };
}

// SECURITY: brackets around a name are dropped by some parsers and kept by others (S-09).
function parseBracketed(raw: string): CanonicalHost {
  if (!raw.endsWith(']')) throw malformed('the host has a bracket that is not closed');
  return parseAddress6(raw.slice(1, -1));
}

function parseAddress6(text: string): CanonicalHost {
  const address = canonicalIPv6(text);
  if (address === null) throw malformed('the host is not a valid IPv6 address');
  return { host: address, family: 6 };
}

/** SECURITY: an A-label that does not survive UTS-46 both ways is a second spelling of another name (S-12). */
function checkALabels(host: string): void {
  for (const label of host.split('.')) {
    if (!label.startsWith('xn--')) continue;
    const unicode = domainToUnicode(label);
    if (unicode === '' || unicode === label || domainToASCII(unicode) !== label)
      throw malformed('the host has a punycode label that is not valid');
  }
}

/**
 * Reads `host[:port]` of CONNECT, an absolute URI or a Host field. Without `defaultPort` the port is required (CONNECT).
 * @throws AlterError malformed_request
 */
export function parseAuthority(raw: string, scheme: Scheme, defaultPort?: number): Destination {
  let hostEnd: number;
  if (raw.charCodeAt(0) === 0x5b) {
    hostEnd = raw.indexOf(']') + 1;
    if (hostEnd === 0) throw malformed('the host has a bracket that is not closed');
    if (hostEnd < raw.length && raw.charCodeAt(hostEnd) !== 0x3a) throw malformed('the authority has text behind its address');
  } else {
    const colon = raw.indexOf(':');
    // An `@` or anything else that is no host is refused by parseHost, for it stands before or behind the colon (S-05).
    hostEnd = colon === -1 ? raw.length : colon;
  }
  const port = parsePort(raw, hostEnd, defaultPort);
  const { host, family } = parseHost(hostEnd === raw.length ? raw : raw.slice(0, hostEnd));
  return destinationOf(scheme, host, port, family);
}

/** The port behind `at`, where either the text ends or a colon stands. */
function parsePort(raw: string, at: number, defaultPort: number | undefined): number {
  if (raw.length <= at + 1) {
    // RFC 3986 3.2.3: an empty port is the default one, where there is a default.
    if (defaultPort === undefined) throw malformed('the authority has no port');
    return defaultPort;
  }
  let port = 0;
  for (let i = at + 1; i < raw.length; i++) {
    const digit = raw.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) throw malformed('the port is not a number from 1 to 65535');
    port = port * 10 + digit;
  }
  if (port === 0 || port > MAX_PORT || raw.charCodeAt(at + 1) === 48) throw malformed('the port is not a number from 1 to 65535');
  return port;
}

const invalid = (problem: string): AlterError => new AlterError('invalid_input', { problems: [problem] });

/**
 * Reads a host pattern of a grant: a host, or `*.` and a name for exactly one more label. Takes international names and
 * answers their A-labels.
 * @throws AlterError invalid_input
 */
export function parseHostPattern(raw: string): string {
  const wildcard = raw.startsWith('*.');
  const name = wildcard ? raw.slice(2) : raw;
  const quoted = JSON.stringify(raw);
  if (name.includes('*'))
    throw invalid(`host pattern ${quoted}: * may only stand for the whole first label, as in *.example.com`);
  let reading: CanonicalHost;
  try {
    reading = parseHost(/^[\x00-\x7f]*$/.test(name) ? name : domainToASCII(name));
  } catch {
    throw invalid(`host pattern ${quoted}: not a valid host name or address (a host, without scheme, port and path)`);
  }
  if (!wildcard) return reading.host;
  if (reading.family !== 0) throw invalid(`host pattern ${quoted}: an address has no wildcard`);
  // SECURITY: below a public suffix anybody may register a name and receive the credential (S-14).
  if (isSharedSuffix(reading.host))
    throw invalid(`host pattern ${quoted}: anybody can own a name under ${reading.host}; name a longer suffix`);
  return `*.${reading.host}`;
}

/**
 * True when the canonical host is the pattern, or has exactly one label before the suffix of a `*.` pattern.
 * Addresses never match a wildcard: no suffix of a canonical pattern ends in a number.
 */
export function matchesHostPattern(pattern: string, host: string): boolean {
  if (pattern.charCodeAt(0) !== 0x2a) return pattern === host;
  const dot = host.indexOf('.');
  // `pattern.length - 1` is the suffix with its dot.
  return (
    dot > 0 &&
    host.length - dot === pattern.length - 1 &&
    host.endsWith(pattern.slice(1)) &&
    !host.includes(':') &&
    !endsInNumber(host)
  );
}
