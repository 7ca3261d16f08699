/** A CA that keeps a list of what it revoked, by openssl, and servers with its certificates. The lists are real ones: nothing of ours writes them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';

export interface RevocablePki {
  readonly dir: string;
  readonly caPem: string;
  /** One for each host. */
  readonly ports: readonly number[];
  /** A list that holds these hosts and ends in `endsInSeconds`. */
  list(revoked: readonly string[], endsInSeconds?: number): string;
  /** The same by another CA of the same name. */
  forgedList(revoked: readonly string[]): string;
  /** One that says of itself that it is only a part. */
  partialList(): string;
  stop(): void;
}

export async function makeRevocablePki(hosts: readonly string[]): Promise<RevocablePki> {
  const dir = mkdtempSync(join(tmpdir(), 'alterd-crl-'));
  const openssl = (...args: readonly string[]): string =>
    execFileSync('openssl', args, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  writeFileSync(join(dir, 'ca.cnf'), CONFIG);
  for (const ca of ['ca', 'forged'])
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=revoking root', '-keyout', `${ca}.key`, '-out', `${ca}.crt`); // biome-ignore format: one command
  const servers: Server[] = [];
  for (const [i, host] of hosts.entries()) {
    openssl('req', '-x509', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-set_serial', String(0x80a0 + i), '-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`, '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', `${host}.key`, '-out', `${host}.crt`); // biome-ignore format: one command
    servers.push(await serve(readFileSync(join(dir, `${host}.key`)), readFileSync(join(dir, `${host}.crt`))));
  }
  const day = 86_400;
  const makeList = (ca: string, revoked: readonly string[], endsInSeconds: number, section = 'plain'): string => {
    const rows = revoked.map((host) => {
      const serial = openssl('x509', '-in', `${host}.crt`, '-noout', '-serial').trim().split('=')[1];
      return `R\t400101000000Z\t${stamp(-day)}\t${serial}\tunknown\t/CN=${host}\n`;
    });
    writeFileSync(join(dir, 'index.txt'), rows.join(''));
    writeFileSync(join(dir, 'number'), '01\n');
    const ends = new Date(Date.now() + endsInSeconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '');
    const starts = stampLong(Math.min(-day, endsInSeconds - day));
    return openssl('ca', '-config', 'ca.cnf', '-gencrl', '-keyfile', `${ca}.key`, '-cert', `${ca}.crt`, '-crlexts', section, '-crl_lastupdate', starts, '-crl_nextupdate', ends); // biome-ignore format: one command
  };
  return {
    dir,
    caPem: readFileSync(join(dir, 'ca.crt'), 'utf8'),
    ports: servers.map((server) => (server.address() as AddressInfo).port),
    list: (revoked, endsInSeconds = day) => makeList('ca', revoked, endsInSeconds),
    forgedList: (revoked) => makeList('forged', revoked, day),
    partialList: () => makeList('ca', [], day, 'partial'),
    stop: () => {
      for (const server of servers) server.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const CONFIG = `[ca]
default_ca = here
[here]
database = ./index.txt
crlnumber = ./number
default_md = sha256
default_crl_days = 1
[plain]
authorityKeyIdentifier = keyid
[partial]
issuingDistributionPoint = critical, @part
[part]
onlyuser = TRUE
`;

const stampLong = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '');
const stamp = (seconds: number): string => stampLong(seconds).slice(2);

function serve(key: Buffer, cert: Buffer): Promise<Server> {
  const server = createServer({ key, cert }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  });
  server.on('tlsClientError', () => {});
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
