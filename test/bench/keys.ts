/**
 * Throw-away certificates of one run: a CA and a server certificate for the origin, and CAs for the peers, which want the
 * private key in a file. Everything lies in the run's directory and goes with it.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import forge from 'node-forge';
import {
  certificatePem,
  distinguishedName,
  EXTENSION,
  ecdsaSigner,
  extension,
  keyIdOf,
  signCertificate,
} from '../../src/ca/certificate.ts';
import { implicit, oid, sequence } from '../../src/ca/der.ts';
import { DOMAIN } from './names.ts';

const DAY_MS = 86_400_000;

interface EcAuthority {
  readonly subject: Buffer;
  readonly key: KeyObject;
  readonly keyId: Buffer;
}

const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const spkiOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });

function makeAuthority(dir: string, name: string): EcAuthority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const keyId = keyIdOf(publicKey);
  const subject = distinguishedName(`bench ${name} CA`);
  const der = signCertificate(
    {
      issuer: subject,
      subject,
      notBefore: Date.now() - DAY_MS,
      notAfter: Date.now() + 30 * DAY_MS,
      publicKey: spkiOf(publicKey),
      extensions: [EXTENSION.caConstraints, EXTENSION.caKeyUsage, EXTENSION.subjectKeyId(keyId)],
    },
    ecdsaSigner(privateKey),
  );
  writeFileSync(join(dir, `${name}-ca.crt`), certificatePem(der));
  return { subject, key: privateKey, keyId };
}

/** One certificate for every host of the run, and for 127.0.0.1 where a peer asks for that. */
function makeServer(dir: string, name: string, ca: EcAuthority): void {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const names = sequence(
    implicit(2, Buffer.from(`*.${DOMAIN}`)),
    implicit(2, Buffer.from(DOMAIN)),
    implicit(7, Buffer.of(127, 0, 0, 1)),
  );
  const der = signCertificate(
    {
      issuer: ca.subject,
      subject: distinguishedName(DOMAIN),
      notBefore: Date.now() - DAY_MS,
      notAfter: Date.now() + 30 * DAY_MS,
      publicKey: spkiOf(publicKey),
      extensions: [
        EXTENSION.leafConstraints,
        EXTENSION.leafKeyUsage,
        EXTENSION.serverAuth,
        EXTENSION.subjectKeyId(keyIdOf(publicKey)),
        EXTENSION.authorityKeyId(ca.keyId),
        extension(oid('2.5.29.17'), false, names),
      ],
    },
    ecdsaSigner(ca.key),
  );
  writeFileSync(join(dir, `${name}.crt`), certificatePem(der));
  writeFileSync(join(dir, `${name}.key`), pemOf(privateKey), { mode: 0o600 });
}

/** Writes `origin-ca.crt`, `origin.crt`, `origin.key` and, for a peer that ends TLS itself, `front-ca.crt`, `front.crt`, `front.key`. */
export function makeKeys(dir: string): void {
  makeServer(dir, 'origin', makeAuthority(dir, 'origin'));
  makeServer(dir, 'front', makeAuthority(dir, 'front'));
}

/** RSA CA for peers that mint by themselves: `peer-ca.crt`, `peer-ca.key`, and both in `peer-ca.pem`, key first. Made once. */
export function peerAuthority(dir: string): { readonly certificate: string; readonly key: string; readonly both: string } {
  const files = { certificate: join(dir, 'peer-ca.crt'), key: join(dir, 'peer-ca.key'), both: join(dir, 'peer-ca.pem') };
  if (existsSync(files.both)) return files;
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const cert = forge.pki.createCertificate();
  cert.publicKey = forge.pki.publicKeyFromPem(publicKey.export({ type: 'spki', format: 'pem' }) as string);
  cert.serialNumber = '01';
  cert.validity.notBefore = new Date(Date.now() - DAY_MS);
  cert.validity.notAfter = new Date(Date.now() + 30 * DAY_MS);
  const subject = [{ name: 'commonName', value: 'bench peer CA' }];
  cert.setSubject(subject);
  cert.setIssuer(subject);
  cert.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  const rsaPem = privateKey.export({ type: 'pkcs1', format: 'pem' }) as string;
  cert.sign(forge.pki.privateKeyFromPem(rsaPem), forge.md.sha256.create());
  const pem = forge.pki.certificateToPem(cert);
  writeFileSync(files.certificate, pem);
  writeFileSync(files.key, rsaPem, { mode: 0o600 });
  writeFileSync(files.both, pemOf(privateKey) + pem, { mode: 0o600 });
  return files;
}
