/**
 * Readers for keys that hold addresses: the listener, exceptions for private addresses, overrides, the upstream proxy.
 * They never resolve a name.
 */
import { type HostPort, originKey, type Reader, type Reading, readHost, readHostPort } from './reader.ts';

/** One entry of allow_private. */
export type PrivateException =
  | { readonly kind: 'host'; readonly host: string; readonly port: number }
  | { readonly kind: 'cidr'; readonly address: string; readonly prefix: number; readonly family: 4 | 6 };

export interface UpstreamProxy extends HostPort {
  readonly scheme: 'http' | 'https';
}

export const isLoopback = ({ host, family }: Pick<HostPort, 'host' | 'family'>): boolean =>
  family === 4 ? host.startsWith('127.') : host === '::1';

/** "off" means no TCP listener. */
export const listenAddress: Reader<HostPort | null> = {
  read: (raw) => {
    if (raw === 'off') return { value: null };
    const reading = typeof raw === 'string' ? readHostPort(raw, 0) : { problem: '' };
    if ('problem' in reading || reading.value.family === 0) {
      return { problem: 'must be an address with a port such as "127.0.0.1:4780", or "off"' };
    }
    // SECURITY: proxy keys cross this socket in clear text; on another interface anyone on the network could read them.
    if (!isLoopback(reading.value)) {
      return { problem: `must be a loopback address: ${reading.value.host} would carry agent keys over the network without TLS` };
    }
    return reading;
  },
  fromText: (text) => text,
};

/** As `listenAddress`, for the metrics. */
export const metricsAddress: Reader<HostPort | null> = {
  read: (raw) => {
    const reading = listenAddress.read(raw);
    if (!('problem' in reading)) return reading;
    return { problem: 'must be a loopback address with a port such as "127.0.0.1:9478", or "off"' };
  },
  fromText: (text) => text,
};

/** `host:port`, or a CIDR block. */
export function privateException(raw: string): Reading<PrivateException> {
  const slash = raw.indexOf('/');
  if (slash < 0) {
    const reading = readHostPort(raw);
    if ('problem' in reading) return { problem: 'must be HOST:PORT or a block such as 10.0.0.0/8' };
    return { value: { kind: 'host', host: reading.value.host, port: reading.value.port } };
  }
  const address = raw.slice(0, slash);
  const reading = readHost(address.includes(':') ? `[${address}]` : address);
  const prefix = /^\d{1,3}$/.test(raw.slice(slash + 1)) ? Number(raw.slice(slash + 1)) : -1;
  if ('problem' in reading || reading.value.family === 0 || prefix < 0 || prefix > (reading.value.family === 4 ? 32 : 128)) {
    return { problem: 'must be HOST:PORT or a block such as 10.0.0.0/8' };
  }
  return { value: { kind: 'cidr', address: reading.value.host, prefix, family: reading.value.family } };
}

/** A table `"host:port" = "address:port"`; as text `host:port=address:port,…`. */
export const resolveOverrides: Reader<ReadonlyMap<string, HostPort>> = {
  read: (raw) => {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
      return { problem: 'must be a table such as { "api.example.test:443" = "127.0.0.1:8443" }' };
    }
    const map = new Map<string, HostPort>();
    const problems: string[] = [];
    for (const [from, to] of Object.entries(raw)) {
      const source = readHostPort(from);
      const target: Reading<HostPort> = typeof to === 'string' ? readHostPort(to) : { problem: '' };
      if ('problem' in source) problems.push(`${JSON.stringify(from)} must be HOST:PORT`);
      else if ('problem' in target || target.value.family === 0)
        problems.push(`${JSON.stringify(from)} must lead to ADDRESS:PORT`);
      else if (map.has(originKey(source.value))) problems.push(`${JSON.stringify(from)} is there twice`);
      else map.set(originKey(source.value), target.value);
    }
    return problems.length > 0 ? { problem: problems.join('; ') } : { value: map };
  },
  fromText: (text) => {
    if (text.trim() === '') return {};
    const pairs = text.split(',').map((pair) => pair.split('=').map((side) => side.trim()));
    return pairs.every((pair) => pair.length === 2) ? Object.fromEntries(pairs) : text;
  },
};

/** `http://host:port`; "" means none. */
export const upstreamProxy: Reader<UpstreamProxy | null> = {
  read: (raw) => {
    if (raw === '') return { value: null };
    const match = typeof raw === 'string' ? /^(https?):\/\/([^/?#]*)\/?$/.exec(raw) : null;
    // SECURITY: neither this problem nor any other text may repeat the value, which could carry a password.
    if (match?.[2]?.includes('@'))
      return { problem: 'must not carry a user name or password: put them into upstream.proxy_auth_file' };
    const scheme = match?.[1] === 'https' ? 'https' : 'http';
    const authority = match?.[2] ?? '';
    const withPort = /:\d+$/.test(authority) ? authority : `${authority}:${scheme === 'https' ? 443 : 80}`;
    const reading = readHostPort(withPort);
    return !match || 'problem' in reading
      ? { problem: 'must be a URL such as "http://proxy.example.test:3128", or "" for none' }
      : { value: { scheme, ...reading.value } };
  },
  fromText: (text) => text,
};
