/** Real clients that know nothing but the variables of clientEnvironment, through a proxy that demands credentials. */
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { clientEnvironment } from '../../../src/ca/client-environment.ts';
import { formatExports } from '../../../src/ca/export-format.ts';
import { LeafIssuer } from '../../../src/ca/leaf.ts';
import { writeNodePreload } from '../../../src/ca/node-preload.ts';
import { writeBundle, writeWgetrc } from '../../../src/ca/trust.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { isPresent, newCa, run, startTlsOrigin, type TlsOrigin, temporaryDirectory } from './fixture.ts';
import { startTunnelProxy, type TunnelProxy } from './tunnel-proxy.ts';

const KEY = 'SEKRET-marker-client';
const URL_UNDER_TEST = 'https://api.test.example/v1';
const temporary = temporaryDirectory("alterd env's ");
let origin: TlsOrigin;
let proxy: TunnelProxy;
let exports: string;

beforeAll(async () => {
  const ca = newCa(temporary.dir);
  const issuer = new LeafIssuer(ca);
  origin = await startTlsOrigin(
    (host) => issuer.contextFor(host, 0),
    () => 'api.test.example',
    (req, res) => {
      // Enough of git's smart protocol for an empty repository.
      if (req.url?.includes('info/refs')) {
        res.setHeader('Content-Type', 'application/x-git-upload-pack-advertisement');
        const line = `${'0'.repeat(40)} capabilities^{}\0agent=test\n`;
        const length = (line.length + 4).toString(16).padStart(4, '0');
        res.end(`001e# service=git-upload-pack\n0000${length}${line}0000`);
      } else res.end('through');
    },
  );
  proxy = await startTunnelProxy(`agent:${KEY}`, origin.port);
  // A hostile inherited environment: another proxy, a directory of roots that would hide the bundle, and a hole in NO_PROXY.
  const inherited = {
    SSL_CERT_DIR: '/etc/ssl/certs',
    ALL_PROXY: 'socks5://127.0.0.1:1',
    NO_PROXY: '*',
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'core.abbrev',
    GIT_CONFIG_VALUE_0: '12',
  };
  const bundleFile = writeBundle({ caPem: ca.certPem, outFile: join(temporary.dir, 'bundle.pem'), inherited }).file;
  const env = clientEnvironment({
    host: '127.0.0.1',
    port: proxy.port,
    user: 'agent',
    key: new Secret(KEY),
    caFile: ca.caFile,
    bundleFile,
    preloadFile: writeNodePreload(temporary.dir),
    wgetrcFile: writeWgetrc(bundleFile, join(temporary.dir, 'wgetrc')),
    inherited,
  });
  exports = Object.entries(inherited)
    .map(([name, value]) => `export ${name}='${value}'\n`)
    .concat(formatExports(env, 'bash'))
    .join('');
});

beforeEach(() => {
  proxy.seen.length = 0;
});

afterAll(async () => {
  await proxy.close();
  await origin.close();
  temporary.remove();
});

const CLIENTS: readonly (readonly [name: string, needs: string, script: string])[] = [
  ['curl', 'curl', `curl -sS ${URL_UNDER_TEST}`],
  ['wget', 'wget', `wget -qO- ${URL_UNDER_TEST}`],
  ['python urllib', 'python3', `python3 -c "import urllib.request as u; print(u.urlopen('${URL_UNDER_TEST}').read().decode())"`],
  ['python requests', 'python3:requests', `python3 -c "import requests; print(requests.get('${URL_UNDER_TEST}').text)"`],
  ['python httpx', 'python3:httpx', `python3 -c "import httpx; print(httpx.get('${URL_UNDER_TEST}').text)"`],
  ['node fetch', 'node', `node -e "fetch('${URL_UNDER_TEST}').then(r => r.text()).then(t => console.log(t))"`],
  ['node https', 'node', `node -e "require('https').get('${URL_UNDER_TEST}', r => r.pipe(process.stdout))"`],
];

describe('with the exported variables alone', () => {
  test.each(CLIENTS)('%s goes through the proxy and trusts the leaf', async (_name, needs, script) => {
    const [command = '', module] = needs.split(':');
    if (!isPresent(command)) return;
    if (module !== undefined && (await run(command, ['-c', `import ${module}`])).code !== 0) {
      console.info(`not present: ${module}`);
      return;
    }
    const result = await run('bash', ['-c', `${exports}${script}`]);
    expect(result.stderr).toBe('');
    expect(result.stdout.trim()).toBe('through');
    expect(proxy.seen.filter((line) => !line.startsWith('denied'))).toEqual(['CONNECT api.test.example:443']);
  });

  test('git reads a remote, and keeps the configuration that it was given', async () => {
    if (!isPresent('git')) return;
    const result = await run('bash', ['-c', `${exports}git ls-remote https://api.test.example/r.git; git config core.abbrev`]);
    expect(result).toEqual({ code: 0, stdout: '12\n', stderr: '' });
    expect(proxy.seen).toContain('CONNECT api.test.example:443');
  });

  test('a loopback target is reached directly', async () => {
    const result = await run('bash', ['-c', `${exports}curl -sS --connect-timeout 2 http://127.0.0.1:${proxy.port}/`]);
    expect(result.code).toBe(0);
    expect(proxy.seen[0]).toMatch(/^denied GET \/ /);
  });

  test('S-82: a host that is only tunnelled still verifies against the system roots', async () => {
    const count = await run('bash', ['-c', `${exports}grep -c BEGIN "$SSL_CERT_FILE"`]);
    expect(Number(count.stdout)).toBeGreaterThan(50);
  });
});
