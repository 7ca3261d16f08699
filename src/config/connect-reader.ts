/**
 * Readers for [connect], the one listener that browsers reach: its address, and the origin that people see.
 * SECURITY: session tokens and authorization codes cross this listener, so plain http never leaves the machine.
 */
import { isLoopback } from './address-reader.ts';
import { type HostPort, type Reader, readHost, readHostPort } from './reader.ts';

/** "off" means no pages at all. */
export const connectListen: Reader<HostPort | null> = {
  read: (raw) => {
    if (raw === 'off') return { value: null };
    const reading = typeof raw === 'string' ? readHostPort(raw, 0) : { problem: '' };
    return 'problem' in reading || reading.value.family === 0
      ? { problem: 'must be an address with a port such as "127.0.0.1:4781", or "off"' }
      : reading;
  },
  fromText: (text) => text,
};

/** An origin without a path; "" means that of the listener. */
export const publicUrl: Reader<string | null> = {
  read: (raw) => {
    if (raw === '') return { value: null };
    const problem =
      'must be an origin such as "https://connect.example.test", without a path, or "" for the address of connect.listen';
    let url: URL;
    try {
      url = new URL(raw as string);
    } catch {
      return { problem };
    }
    if (url.origin !== String(raw).replace(/\/$/, '') || !/^https?:$/.test(url.protocol)) return { problem };
    // SECURITY: over http beyond this machine, anyone on the way reads the authorization code and the session.
    if (url.protocol === 'http:' && !isLoopbackName(url.hostname))
      return { problem: `must be https: over http anyone between the browser and ${url.hostname} could take part` };
    return { value: url.origin };
  },
  fromText: (text) => text,
};

/** Whether a browser that is told this name stays on its own machine. */
export function isLoopbackName(name: string): boolean {
  if (name === 'localhost') return true;
  const reading = readHost(name);
  return 'value' in reading && isLoopback(reading.value);
}

interface ConnectValues {
  readonly listen: HostPort | null;
  readonly publicUrl: string | null;
  readonly hasCert: boolean;
  readonly hasKey: boolean;
}

type ConnectPath = 'connect.listen' | 'connect.public_url' | 'connect.tls_cert_file' | 'connect.tls_key_file';

/** Problems that no single key of [connect] shows. */
export function connectProblems(values: ConnectValues): { readonly path: ConnectPath; readonly problem: string }[] {
  const { listen, hasCert, hasKey } = values;
  const found: { path: ConnectPath; problem: string }[] = [];
  if (hasCert !== hasKey)
    found.push({
      path: hasCert ? 'connect.tls_cert_file' : 'connect.tls_key_file',
      problem: `needs ${hasCert ? 'connect.tls_key_file' : 'connect.tls_cert_file'} as well`,
    });
  if (listen !== null && !isLoopback(listen) && !(hasCert && hasKey))
    found.push({
      path: 'connect.listen',
      problem: 'must be a loopback address unless connect.tls_cert_file and connect.tls_key_file are set',
    });
  if (listen !== null && (listen.host === '0.0.0.0' || listen.host === '::') && values.publicUrl === null)
    found.push({ path: 'connect.public_url', problem: `must be set: browsers can't be sent to ${listen.host}` });
  if (hasCert && values.publicUrl?.startsWith('http:'))
    found.push({ path: 'connect.public_url', problem: 'must be https while connect.tls_cert_file is set' });
  return found;
}
