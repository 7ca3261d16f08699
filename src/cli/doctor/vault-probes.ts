/** Looks at a central vault as a host and as a monitor would: what its listener shows, whether its health answers. Sends nothing secret. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { get as getPlain } from 'node:http';
import { isIP } from 'node:net';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import type { FleetView } from '../../api/fleet.ts';
import type { Config } from '../../config/schema.ts';
import { runToEnd } from './command.ts';
import { type Finding, failed, ok, skipped } from './finding.ts';
import { checkCertificate, checkDisk, type ShownCertificate } from './vault-checks.ts';

const WAIT_MS = 5_000;

/** The listener that hosts use: its certificate, and /readyz through it. */
export async function probeListener(fleet: FleetView, config: Config, now: number): Promise<Finding[]> {
  const at = placeOf(fleet.address);
  const [name] = namesOf(fleet, config);
  try {
    const { shown, readiness } = await lookAt(at, name ?? at.host, fleet, config);
    const certificate = checkCertificate(shown, now);
    if (!shown.isPinned)
      return [skipped('listener', `${fleet.address} was not asked for its health: its certificate is another one`), certificate];
    const isReady = /^HTTP\/1\.1 200 /.test(readiness);
    const line = JSON.stringify(readiness.split('\r\n')[0] ?? '');
    return [
      isReady
        ? ok('listener', `${fleet.address} serves hosts, as ${fleet.url}`)
        : failed('listener', `${fleet.address} answers ${line}`, 'Its database does not answer: `journalctl -u alterd-vault`.'),
      certificate,
    ];
  } catch (error) {
    const fix = 'Is it still starting, or a firewall between? `journalctl -u alterd-vault`.';
    return [failed('listener', `${fleet.address} can't be reached (${codeOf(error)})`, fix)];
  }
}

const namesOf = (fleet: FleetView, { vaultServer }: Config): string[] => {
  const names = vaultServer.publicNames.map(({ host }) => host);
  return names.length > 0 ? names : [new URL(fleet.url).hostname.replace(/^\[|\]$/g, '')];
};

function placeOf(address: string): { readonly host: string; readonly port: number } {
  const split = address.lastIndexOf(':');
  const host = address.slice(0, split).replace(/^\[|\]$/g, '');
  return { host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port: Number(address.slice(split + 1)) };
}

interface Look {
  readonly shown: ShownCertificate;
  readonly readiness: string;
}

function lookAt(at: { host: string; port: number }, name: string, fleet: FleetView, config: Config): Promise<Look> {
  return new Promise((resolve, reject) => {
    const servername = isIP(name) === 0 ? name : undefined;
    // SECURITY: unverified on purpose, to say what is wrong with what it shows; not a byte goes to who is not signed by the vault's authority.
    const socket = connect({ ...at, rejectUnauthorized: false, minVersion: 'TLSv1.3', ...(servername && { servername }) });
    let readiness = '';
    socket.setTimeout(WAIT_MS, () => socket.destroy(Object.assign(new Error('no answer'), { code: 'no answer' })));
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      const shown = shownBy(socket.getPeerCertificate(true), fleet, config);
      if (!shown.isPinned) {
        socket.destroy();
        return resolve({ shown, readiness: '' });
      }
      socket.on('data', (data) => (readiness += data.toString('latin1')));
      socket.once('close', () => resolve({ shown, readiness }));
      socket.write(`GET /readyz HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
    });
  });
}

function shownBy(peer: DetailedPeerCertificate, fleet: FleetView, config: Config): ShownCertificate {
  const leaf = new X509Certificate(peer.raw);
  const isFor = (name: string): boolean => (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined;
  const missing = namesOf(fleet, config).filter((name) => !isFor(name));
  return {
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
    isPinned: isSignedBy(peer, fleet.fingerprint),
    missing,
  };
}

/** Whether the chain leads to the authority with this fingerprint, signature by signature: anybody can show its certificate beside theirs. */
function isSignedBy(leaf: DetailedPeerCertificate, fingerprint: string): boolean {
  for (let each = leaf; each.fingerprint256 !== fingerprint; ) {
    const issuer = each.issuerCertificate;
    if (!issuer?.raw || issuer === each) return false;
    if (!new X509Certificate(each.raw).verify(new X509Certificate(issuer.raw).publicKey)) return false;
    each = issuer;
  }
  return true;
}

/** The listener of monitors, which is another one. */
export async function probeMetrics(address: string | null): Promise<Finding> {
  if (address === null)
    return skipped(
      'metrics',
      "no listener; hosts' listener answers /healthz and /readyz",
      'For Prometheus: metrics.listen = "127.0.0.1:9477".',
    );
  const answers = await Promise.all(['/healthz', '/readyz', '/metrics'].map((path) => statusOf(`http://${address}${path}`)));
  if (answers.every((status) => status === 200)) return ok('metrics', `${address} answers /healthz, /readyz and /metrics`);
  return failed('metrics', `${address} answers ${answers.join(', ')}`, 'Look at the log: `journalctl -u alterd-vault`.');
}

function statusOf(url: string): Promise<number | string> {
  return new Promise((resolve) => {
    const request = getPlain(url, { agent: false, timeout: WAIT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', (error) => resolve(codeOf(error)));
  });
}

export async function probeDisk(directory: string): Promise<Finding> {
  try {
    const { bavail, bsize, blocks } = await statfs(directory);
    return checkDisk(directory, { bytes: bavail * bsize, total: blocks * bsize });
  } catch (error) {
    return failed('disk', `${directory} can't be looked at (${codeOf(error)})`, 'Name the directory of the vault with --home.');
  }
}

/** Files that hold keys or passwords are closed to everybody else. */
export function probePrivacy(files: readonly (string | null)[]): Finding[] {
  const open = files.flatMap((path) => {
    const stats = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
    if (path === null || stats === undefined) return [];
    const forbidden = stats.isDirectory() ? 0o027 : 0o177;
    const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
    return (stats.mode & forbidden) === 0 ? [] : [failed('permissions', `${path} has mode ${mode}`, `chmod go= ${path}`)];
  });
  return open.length === 0 ? [ok('permissions', 'keys, passwords, databases and the socket are closed to other users')] : open;
}

/** null where nobody says. */
export async function isClockKept(env: NodeJS.ProcessEnv): Promise<boolean | null> {
  const ended = await runToEnd('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'], { env, timeoutMs: WAIT_MS });
  const text = ended.code === 0 ? ended.stdout.trim() : '';
  return text === 'yes' ? true : text === 'no' && hasTimeDaemon() ? false : null;
}

/** In a container the clock is the machine's, and nothing in it can keep it. */
function hasTimeDaemon(): boolean {
  try {
    return readFileSync('/proc/1/comm', 'utf8').trim() === 'systemd';
  } catch {
    return false;
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'not readable';
