/**
 * Destination: the one value that says where a request goes. It is made once, from CONNECT or the absolute URI, and
 * everything else (matching, dialling, SNI, Host, certificate checks, cache and pool keys) uses it.
 */

export type Scheme = 'http' | 'https';

/** Invariant: `host` is canonical (see host.ts): lower-case A-label name without trailing dot, dotted IPv4, or compressed IPv6 without brackets. */
export interface Destination {
  readonly scheme: Scheme;
  readonly host: string;
  readonly port: number;
  /** 0 for a name, 4 or 6 for an address literal. */
  readonly family: 0 | 4 | 6;
  /** What goes into `Host`: host in brackets for IPv6, port only when it is not the scheme's default. */
  readonly authority: string;
  /** `scheme://host:port`, always with the port: the key for caches and pools. */
  readonly origin: string;
}

export const defaultPort = (scheme: Scheme): number => (scheme === 'https' ? 443 : 80);

/** @param host canonical, see host.ts */
export function destinationOf(scheme: Scheme, host: string, port: number, family: 0 | 4 | 6): Destination {
  const bracketed = family === 6 ? `[${host}]` : host;
  return {
    scheme,
    host,
    port,
    family,
    authority: port === defaultPort(scheme) ? bracketed : `${bracketed}:${port}`,
    origin: `${scheme}://${bracketed}:${port}`,
  };
}
