/** The CA and its leaves before real TLS stacks in their strictest mode. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LocalCa } from '../../../src/ca/authority.ts';
import { certificatePem } from '../../../src/ca/certificate.ts';
import { clientEnvironment } from '../../../src/ca/client-environment.ts';
import { LeafIssuer } from '../../../src/ca/leaf.ts';
import { writeBundle, writeWgetrc } from '../../../src/ca/trust.ts';
import { ensureTruststore } from '../../../src/ca/truststore.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { isPresent, newCa, type Run, run, startTlsOrigin, type TlsOrigin, temporaryDirectory } from './fixture.ts';

const temporary = temporaryDirectory();
const LONG_HOST = `${'a'.repeat(63)}.${'b'.repeat(63)}.example`;
let ca: LocalCa;
let issuer: LeafIssuer;
let origin: TlsOrigin;
let bundle: string;
let host = 'localhost';
let family: 0 | 4 | 6 = 0;

beforeAll(async () => {
  ca = newCa(temporary.dir);
  issuer = new LeafIssuer(ca);
  bundle = writeBundle({ caPem: ca.certPem, outFile: join(temporary.dir, 'bundle.pem') }).file;
  origin = await startTlsOrigin(
    (name) => issuer.contextFor(name, family),
    () => host,
    (_req, res) => res.end('intercepted'),
  );
});

beforeEach(() => {
  host = 'localhost';
  family = 0;
});

afterAll(async () => {
  await origin.close();
  temporary.remove();
});

const verify = (authority: LocalCa, leaf: Buffer, name: readonly string[]): Promise<Run> => {
  const file = join(temporary.dir, 'leaf.pem');
  writeFileSync(file, certificatePem(leaf));
  return run('openssl', ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', authority.caFile, ...name, file]);
};

describe('openssl verify -x509_strict', () => {
  test.each([
    ['a name', 'api.example.com', 0, '-verify_hostname'],
    ['a name of one label', 'localhost', 0, '-verify_hostname'],
    ['a name with an underscore', 'a_b.example.com', 0, '-verify_hostname'],
    ['a name too long for a common name', LONG_HOST, 0, '-verify_hostname'],
    ['an IPv4 literal', '192.0.2.7', 4, '-verify_ip'],
    ['an IPv6 literal', '2001:db8::7', 6, '-verify_ip'],
    ['the IPv6 loopback', '::1', 6, '-verify_ip'],
    ['an IPv6 literal that ends in zeros', '2001:db8::', 6, '-verify_ip'],
  ] as const)('accepts %s', async (_what, name, kind, option) => {
    const result = await verify(ca, issuer.mintLeaf(name, kind), [option, name]);
    expect(result.stderr).toBe('');
    expect(result.stdout).toContain('OK');
  });

  test.each([
    ['another name', 'api.example.com', 0, ['-verify_hostname', 'api.example.org']],
    ['a subdomain', 'example.com', 0, ['-verify_hostname', 'api.example.com']],
    ['another address', '192.0.2.7', 4, ['-verify_ip', '192.0.2.8']],
  ] as const)('does not accept the leaf for %s', async (_what, name, kind, option) => {
    expect((await verify(ca, issuer.mintLeaf(name, kind), option)).code).not.toBe(0);
  });

  test.each([
    ['the name itself', 'example.com', 0, true],
    ['a name below it', 'api.example.com', 0, true],
    ['a name outside', 'example.org', 0, false],
    ['a name that only ends alike', 'notexample.com', 0, false],
    ['an address, when only names are permitted', '192.0.2.7', 4, false],
    ['an IPv6 address, when only names are permitted', '2001:db8::7', 6, false],
  ] as const)('S-80: a CA constrained to example.com: %s', async (_what, name, kind, accepted) => {
    const constrained = newCa(temporaryIn(), ['example.com']);
    const result = await verify(constrained, new LeafIssuer(constrained).mintLeaf(name, kind), []);
    expect(result.stdout.includes('OK')).toBe(accepted);
    if (!accepted) expect(result.stderr).toMatch(/permitted subtree violation|excluded subtree violation/);
    expect(constrained.covers(name, kind)).toBe(accepted);
  });

  test('S-80: a CA constrained to one address signs for no name', async () => {
    const constrained = newCa(temporaryIn(), ['192.0.2.7']);
    const own = new LeafIssuer(constrained);
    expect((await verify(constrained, own.mintLeaf('192.0.2.7', 4), [])).stdout).toContain('OK');
    expect((await verify(constrained, own.mintLeaf('192.0.2.8', 4), [])).code).not.toBe(0);
    expect((await verify(constrained, own.mintLeaf('example.com', 0), [])).code).not.toBe(0);
  });
});

let counter = 0;
function temporaryIn(): string {
  const dir = join(temporary.dir, `own-${counter++}`);
  mkdirSync(dir);
  return dir;
}

const pythonScript = (name: string): string => `
import socket, ssl, sys
context = ssl.create_default_context(cafile=${JSON.stringify(ca.caFile)})
context.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection(('127.0.0.1', ${origin.port})) as raw:
    with context.wrap_socket(raw, server_hostname=${JSON.stringify(name)}) as tls:
        print(tls.version(), tls.getpeercert()['subjectAltName'][0])`;

const javaProgram = `
import java.net.URI;
import java.net.http.*;
public class Probe {
  public static void main(String[] a) throws Exception {
    var client = HttpClient.newHttpClient();
    for (String url : a) {
      try { System.out.println(client.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString()).body()); }
      catch (javax.net.ssl.SSLException e) { System.out.println("refused"); }
    }
  }
}`;

describe('a client', () => {
  test.each([
    ['a name', 'localhost', 0],
    ['a long name', LONG_HOST, 0],
    ['an IPv4 literal', '127.0.0.1', 4],
    ['an IPv6 literal', '::1', 6],
  ] as const)('Python with VERIFY_X509_STRICT accepts %s', async (_what, name, kind) => {
    if (!isPresent('python3')) return;
    [host, family] = [name, kind];
    const result = await run('python3', ['-c', pythonScript(name)]);
    expect(result.stderr).toBe('');
    expect(result.stdout).toContain('TLSv1.3');
  });

  test.each([
    ['curl', (url: string) => run('curl', ['-sS', '--cacert', ca.caFile, url])],
    ['wget', (url: string) => run('wget', ['-qO-', `--ca-certificate=${ca.caFile}`, url])],
    ['curl', (url: string) => run('curl', ['-sS', url], { CURL_CA_BUNDLE: bundle })],
    ['wget', (url: string) => run('wget', ['-qO-', url], { WGETRC: writeWgetrc(bundle, join(temporary.dir, 'wgetrc')) })],
    [
      'node',
      (url: string) =>
        run('node', ['-e', `fetch('${url}').then(r=>r.text()).then(t=>process.stdout.write(t))`], {
          NODE_EXTRA_CA_CERTS: ca.caFile,
        }),
    ],
    [
      'python3',
      (url: string) =>
        run('python3', ['-c', `import urllib.request as u; print(u.urlopen('${url}').read().decode(), end='')`], {
          SSL_CERT_FILE: bundle,
        }),
    ],
    [
      'perl',
      (url: string) =>
        run('perl', ['-MHTTP::Tiny', '-e', `print HTTP::Tiny->new(verify_SSL=>1)->get('${url}')->{content}`], {
          SSL_CERT_FILE: bundle,
        }),
    ],
  ] as const)('%s accepts a name and an IPv4 literal', async (command, fetchUrl) => {
    if (!isPresent(command)) return;
    if (command === 'perl' && (await run('perl', ['-MIO::Socket::SSL', '-MNet::SSLeay', '-e', '1'])).code !== 0) {
      console.info('not present: IO::Socket::SSL');
      return;
    }
    expect(await fetchUrl(`https://localhost:${origin.port}/`)).toEqual({ code: 0, stdout: 'intercepted', stderr: '' });
    [host, family] = ['127.0.0.1', 4];
    expect(await fetchUrl(`https://127.0.0.1:${origin.port}/`)).toEqual({ code: 0, stdout: 'intercepted', stderr: '' });
  });

  test.each([
    ['curl', (url: string) => run('curl', ['-sS', '--cacert', ca.caFile, url])],
    [
      'node',
      (url: string) =>
        run('node', ['-e', `require('https').get('${url}').on('error', () => process.exit(1))`], {
          NODE_EXTRA_CA_CERTS: ca.caFile,
        }),
    ],
  ] as const)('%s refuses a leaf of another name', async (command, fetchUrl) => {
    if (!isPresent(command)) return;
    host = 'other.example';
    expect((await fetchUrl(`https://localhost:${origin.port}/`)).code).not.toBe(0);
  });

  test('git gets past TLS with the bundle, and not without it', async () => {
    if (!isPresent('git')) return;
    const args = ['ls-remote', `https://localhost:${origin.port}/repository`];
    const quiet = { GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' };
    expect((await run('git', args, { ...quiet, GIT_SSL_CAINFO: bundle })).stderr).not.toMatch(/certificate/i);
    expect((await run('git', args, quiet)).stderr).toMatch(/certificate/i);
  });

  test('Java with the truststore accepts a name and refuses another', async () => {
    if (!isPresent('java') || !isPresent('keytool')) return;
    const source = join(temporary.dir, 'Probe.java');
    writeFileSync(source, javaProgram);
    // A blank in the path proves the quoting of JAVA_TOOL_OPTIONS as well.
    const outDir = join(temporary.dir, 'j v m');
    const store = await ensureTruststore({ caFile: ca.caFile, fingerprintSha256: ca.fingerprintSha256, outDir });
    if (!store.available) throw new Error(store.reason);
    const { set } = clientEnvironment({
      host: '127.0.0.1',
      port: 9,
      user: 'agent',
      key: new Secret('SEKRET-marker-java'),
      caFile: ca.caFile,
      bundleFile: bundle,
      truststoreFile: store.file,
      preloadFile: '/nowhere',
      inherited: {},
    });
    const urls = [`https://localhost:${origin.port}/`, `https://127.0.0.1:${origin.port}/`];
    const result = await run('java', ['-XX:TieredStopAtLevel=1', source, ...urls], { JAVA_TOOL_OPTIONS: set.JAVA_TOOL_OPTIONS });
    expect(result.stdout).toBe('intercepted\nrefused\n');
    expect(result.stderr).not.toContain('SEKRET-marker');
  });
});
