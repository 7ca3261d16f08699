/** TLS sessions of intercepted tunnels: resumed for a later tunnel to the same host, never for another; and no old TLS. */
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LocalCa } from '../../../src/ca/authority.ts';
import { LeafIssuer } from '../../../src/ca/leaf.ts';
import { newCa, startTlsOrigin, type TlsOrigin, temporaryDirectory } from './fixture.ts';

const temporary = temporaryDirectory();
let ca: LocalCa;
let origin: TlsOrigin;
let host: string;

beforeAll(async () => {
  ca = newCa(temporary.dir);
  const issuer = new LeafIssuer(ca);
  origin = await startTlsOrigin(
    (name) => issuer.contextFor(name, 0),
    () => host,
  );
});
afterAll(async () => {
  await origin.close();
  temporary.remove();
});

/** One request on a socket of its own; answers the session ticket that came with it and whether it was resumed. */
function visit(
  name: string,
  options: ConnectionOptions = {},
): Promise<{ session: Buffer | undefined; resumed: boolean; chain: number }> {
  host = name;
  return new Promise((resolve, reject) => {
    let session: Buffer | undefined;
    const socket: TLSSocket = connect(
      { port: origin.port, host: '127.0.0.1', servername: name, ca: ca.certPem, ...options },
      () => {
        socket.write(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
      },
    );
    socket.on('session', (ticket) => (session = ticket));
    socket.on('data', () => undefined);
    socket.on('error', reject);
    let seen = { resumed: false, chain: 0 };
    socket.on('secureConnect', () => {
      const peer = socket.getPeerCertificate(true);
      seen = { resumed: socket.isSessionReused(), chain: peer.issuerCertificate === undefined ? 1 : 2 };
    });
    socket.on('close', () => resolve({ session, ...seen }));
  });
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
  const only = { minVersion: version, maxVersion: version };

  test('resumes a later tunnel to the same host', async () => {
    const first = await visit('a.example', only);
    expect([first.resumed, first.session === undefined]).toEqual([false, false]);
    const second = await visit('a.example', { ...only, session: first.session });
    expect(second.resumed).toBe(true);
  });

  test('never resumes a session of another host', async () => {
    const first = await visit('a.example', only);
    const other = await visit('b.example', { ...only, session: first.session });
    expect(other.resumed).toBe(false);
  });
});

test.each(['TLSv1', 'TLSv1.1'] as const)('refuses %s', async (version) => {
  const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  await expect(visit('a.example', old)).rejects.toThrow(/version|protocol/i);
});
