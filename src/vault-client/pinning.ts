/**
 * Finds the vault's authority by its fingerprint: the vault shows its chain, and the one certificate in it that has the fingerprint is
 * trusted from then on. Nothing is sent on the connection that is only looked at.
 */
import { X509Certificate } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { AlterError } from '../domain/errors.ts';
import { connectionError } from './vault-errors.ts';

const CONNECT_MS = 10_000;
const MAX_CHAIN = 10;
const FINGERPRINT = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/;

/** `AA:BB:…` of a fingerprint as people paste it; null when it is none. */
export function readFingerprint(text: string): string | null {
  const hex = text
    .replace(/^sha256[:=]/i, '')
    .replaceAll(/[:\s]/g, '')
    .toUpperCase();
  const pairs = (hex.match(/../g) ?? []).join(':');
  return FINGERPRINT.test(pairs) && hex.length === 64 ? pairs : null;
}

/** PEM of the authority with this fingerprint. @throws AlterError vault_untrusted, vault_unavailable */
export async function fetchAuthority(url: string, fingerprint: string): Promise<string> {
  const chain = await chainOf(url);
  const found = chain.find((certificate) => certificate.fingerprint256 === fingerprint);
  if (found === undefined) {
    const shown = chain.at(-1)?.fingerprint256 ?? 'none';
    throw new AlterError('vault_untrusted', {
      url,
      reason: `it shows an authority with the fingerprint ${shown}, not ${fingerprint}`,
    });
  }
  return new X509Certificate(found.raw).toString();
}

function chainOf(url: string): Promise<DetailedPeerCertificate[]> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    // SECURITY: unverified on purpose and for this look alone: the socket is closed before anything is written to it.
    const socket = connect({
      host,
      port: Number(port || 443),
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ...nameOf(host),
    });
    socket.setTimeout(CONNECT_MS, () => socket.destroy(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })));
    socket.once('error', (error) => reject(connectionError(error, url)));
    socket.once('secureConnect', () => {
      const chain: DetailedPeerCertificate[] = [];
      let each: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
      while (each?.raw !== undefined && chain.length < MAX_CHAIN) {
        chain.push(each);
        each = each.issuerCertificate === each ? undefined : each.issuerCertificate;
      }
      socket.destroy();
      resolve(chain);
    });
  });
}

const nameOf = (host: string): { readonly servername?: string } => (/^[\d.]+$|:/.test(host) ? {} : { servername: host });
