/** A certificate for 127.0.0.1 that nobody vouches for. It lives in memory for one check, and nothing is ever told to trust it. */
import { generateKeyPairSync } from 'node:crypto';
import { certificatePem, distinguishedName, EXTENSION, ecdsaSigner, signCertificate } from '../ca/certificate.ts';

export function selfSigned(): { readonly key: string; readonly cert: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = distinguishedName('selftest');
  const der = signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: Date.now() - 3_600_000,
      notAfter: Date.now() + 3_600_000,
      publicKey: publicKey.export({ type: 'spki', format: 'der' }),
      extensions: [
        EXTENSION.leafConstraints,
        EXTENSION.leafKeyUsage,
        EXTENSION.serverAuth,
        EXTENSION.subjectAltName('127.0.0.1', 4),
      ],
    },
    ecdsaSigner(privateKey),
  );
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: certificatePem(der) };
}
