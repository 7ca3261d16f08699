/** Credentials that are shown in the TLS handshake: the right one for each grant and version, and never to anybody else. */
import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import forge from 'node-forge';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makePki, type TestPki } from '../../helpers/pki.ts';
import { HOST, head, type Rig, type RigAgent, readAnswer, startRig } from './rig.ts';

interface Pair {
  readonly certificate: string;
  readonly private_key: string;
}

const MTLS = 'mtls.example.test';
let pki: TestPki;
let server: Server;
let rig: Rig;
let authority: { cert: forge.pki.Certificate; key: forge.pki.rsa.PrivateKey };
/** CN of each handshake at the origin, and what the origin answers. */
const shown: (string | null)[] = [];
let answer = 'ok';

/** Making keys takes long, and only the certificates have to differ. */
const rsa = (): string =>
  String(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }));
const SERVER_KEY = rsa();
const CLIENT_KEY = rsa();

function certify(cn: string, kind: 'authority' | 'client' | 'server' = 'client'): Pair {
  const pem = kind === 'client' ? CLIENT_KEY : SERVER_KEY;
  const key = forge.pki.privateKeyFromPem(pem);
  const cert = forge.pki.createCertificate();
  cert.publicKey = forge.pki.setRsaPublicKey(key.n, key.e);
  cert.serialNumber = `0${Math.floor(Math.random() * 1e15).toString(16)}`;
  cert.validity.notBefore = new Date(Date.now() - 60_000);
  cert.validity.notAfter = new Date(Date.now() + 3_600_000);
  cert.setSubject([{ name: 'commonName', value: cn }]);
  if (kind === 'authority') authority = { cert, key };
  cert.setIssuer(authority.cert.subject.attributes);
  cert.setExtensions([
    { name: 'basicConstraints', cA: kind === 'authority' },
    ...(kind === 'client' ? [{ name: 'extKeyUsage', clientAuth: true }] : []),
    ...(kind === 'server' ? [{ name: 'subjectAltName', altNames: [{ type: 2, value: cn }] }] : []),
  ]);
  cert.sign(authority.key, forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(cert), private_key: pem };
}

beforeAll(async () => {
  pki = makePki();
  const { certificate: ca } = certify('authority of the test', 'authority');
  appendFileSync(pki.caFile, ca);
  const { certificate: cert, private_key: key } = certify(MTLS, 'server');
  server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false, ca }, (request, response) => {
    const cn = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    shown.push(cn === undefined ? null : String(cn));
    response.end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  rig = await startRig('', { [`${MTLS}:443`]: `127.0.0.1:${(server.address() as AddressInfo).port}` }, '', pki);
});
afterAll(async () => {
  await rig.stop();
  server.closeAllConnections();
  server.close();
  rmSync(pki.dir, { recursive: true, force: true });
});

const ask = async (agent: RigAgent): Promise<{ status: number; body: string }> => {
  const wire = await agent.open({ host: MTLS });
  wire.write(head('GET /').replace(HOST, MTLS));
  const { status, body } = await readAnswer(wire);
  wire.socket.destroy();
  return { status, body };
};
const store = async (name: string, fields: Pair): Promise<RigAgent> => {
  await rig.daemon.api('POST', '/v1/secrets', { name, provider: 'client-certificate', fields, hosts: [MTLS] });
  return rig.agent({ credential: name, hosts: [MTLS] });
};

it('each grant shows its own certificate, and a rotated one is shown by the next request', async () => {
  const one = await store('one', certify('one'));
  const two = await store('two', certify('two'));
  for (const agent of [one, two, one, two]) expect((await ask(agent)).status).toBe(200);
  expect(shown.splice(0)).toEqual(['one', 'two', 'one', 'two']);
  await rig.daemon.api('POST', '/v1/secrets/one/rotate', { fields: certify('one anew') });
  await ask(one);
  await ask(two);
  expect(shown.splice(0)).toEqual(['one anew', 'two']);
  const rows = JSON.stringify(await one.rows());
  expect(rows).not.toContain('CERTIFICATE');
});

it('no certificate is shown for a grant that has none', async () => {
  await rig.daemon.api('POST', '/v1/secrets', { name: 'other', provider: 'bearer', fields: { token: 'SEKRET-marker-other' } });
  const other = await rig.agent({ credential: 'other', hosts: [MTLS] });
  await ask(other);
  expect(shown.splice(0)).toEqual([null]);
});

it('a key that the origin repeats is masked line by line; a certificate is no secret', async () => {
  const pair = certify('echo');
  const agent = await store('echo', pair);
  const lines = pair.private_key.trim().split('\n');
  answer = `${pair.certificate}\n${JSON.stringify(pair.private_key)}\n${lines[3]}`;
  const { body } = await ask(agent);
  answer = 'ok';
  for (const line of lines.slice(1, -2)) expect(body).not.toContain(line);
  expect(body).toContain(pair.certificate.split('\n')[2]);
});

it.each([
  [
    'a key of another certificate',
    () => ({ ...certify('a'), private_key: SERVER_KEY }),
    'the private key is not that of the certificate',
  ],
  [
    'no certificate',
    () => ({ certificate: 'SEKRET-marker', private_key: SERVER_KEY }),
    'the certificate is not a certificate in PEM',
  ],
  [
    'no key',
    () => ({ certificate: certify('a').certificate, private_key: 'SEKRET-marker' }),
    'the private key is not a key in PEM',
  ],
])('%s is told when it is stored, and not repeated', async (_name, fields, problem) => {
  const failure = await rig.daemon
    .api('POST', '/v1/secrets', { provider: 'client-certificate', fields: fields(), hosts: ['x.test'] })
    .catch((error: Error) => error.message);
  expect(failure).toContain(problem);
  expect(failure).not.toMatch(/SEKRET|BEGIN/);
});
