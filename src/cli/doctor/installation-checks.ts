/** Whether the daemon, its files, its clock and its surroundings are as they should be. Looks only; changes nothing. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, type Stats, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { CaView } from '../../api/ca.ts';
import type { StatusView } from '../../api/status.ts';
import { coreDumpLimit } from '../../core-dumps.ts';
import { runToEnd } from './command.ts';
import { exposed, type Finding, failed, ok, skipped } from './finding.ts';

const DAY_MS = 86_400_000;
const EXPIRES_SOON_MS = 30 * DAY_MS;
const PROXY_WAIT_MS = 5_000;

export function checkJournal({ audit }: StatusView): Finding {
  return audit.healthy
    ? ok('audit journal', `${audit.rows} entries`)
    : failed(
        'audit journal',
        audit.error ?? 'not healthy',
        'Free disk space or mend the directory; until then requests are refused.',
      );
}

/** How a host gets on with its central vault; nothing where it has a vault of its own. */
export function checkVaultLink(vault: StatusView['vault']): Finding[] {
  if (vault === null) return [];
  const { url, state, reason } = vault;
  if (state === 'streaming') return [ok('vault', `${url}: changes come at once`)];
  const said = `${url}: ${reason ?? state}`;
  if (state === 'ended')
    return [failed('vault', said, 'At the vault: `alterd vault host list`. A host that was revoked is invited anew.')];
  return state === 'polling'
    ? [
        exposed(
          'vault',
          `${said}; a revocation takes a second more`,
          'Does something between cut long answers? `alterd status` shows whether it heals.',
        ),
      ]
    : [failed('vault', said, 'Is it up, and reachable from here? Leases serve until they end: `alterd status`.')];
}

/** The files that clients are pointed at hold the CA that the daemon signs with. */
export function checkCaFiles(ca: CaView, now: number): Finding[] {
  return [checkCaFile(ca), checkBundle(ca), checkValidity(ca, now)];
}

function checkCaFile(ca: CaView): Finding {
  try {
    const onDisk = new X509Certificate(readFileSync(ca.ca_file)).fingerprint256;
    if (onDisk === ca.fingerprint_sha256) return ok('CA certificate', ca.ca_file);
    return failed(
      'CA certificate',
      `${ca.ca_file} is not the CA that the daemon uses`,
      'Restart the daemon; it writes the file anew.',
    );
  } catch (error) {
    return failed(
      'CA certificate',
      `${ca.ca_file} can't be read (${codeOf(error)})`,
      'Restart the daemon; it writes the file anew.',
    );
  }
}

function checkBundle(ca: CaView): Finding {
  try {
    const flat = (text: string): string => text.replace(/\s+/g, '');
    const text = readFileSync(ca.bundle_file, 'utf8');
    if (!flat(text).includes(flat(ca.pem)))
      return failed('CA bundle', `${ca.bundle_file} lacks the CA`, 'Restart the daemon; it writes the file anew.');
    return ok('CA bundle', `${text.split('-----BEGIN CERTIFICATE-----').length - 1} certificates`);
  } catch (error) {
    return failed(
      'CA bundle',
      `${ca.bundle_file} can't be read (${codeOf(error)})`,
      'Restart the daemon; it writes the file anew.',
    );
  }
}

/** A clock that is wrong shows first as certificates that are not valid yet, or not any more. */
function checkValidity(ca: CaView, now: number): Finding {
  if (now < Date.parse(ca.not_before)) {
    return failed(
      'clock',
      `it is ${new Date(now).toISOString()} here, before the CA was made`,
      'Set the clock of this machine, for example `timedatectl set-ntp true`.',
    );
  }
  if (now > Date.parse(ca.not_after))
    return failed('clock', `the CA ended on ${ca.not_after}`, 'Check the clock; when it is right: `alterd ca rotate`.');
  if (now > Date.parse(ca.not_after) - EXPIRES_SOON_MS)
    return exposed('clock', `the CA ends soon, on ${ca.not_after}`, 'Make a new one: `alterd ca rotate`.');
  return ok('clock', `within the validity of the CA (until ${ca.not_after.slice(0, 10)})`);
}

/** An unauthenticated CONNECT must be answered 407: nobody without a key gets through. */
export function checkProxyGate(address: string | null): Promise<Finding> {
  const match = /^(.*):(\d+)$/.exec(address ?? '');
  if (match === null) {
    return Promise.resolve(skipped('proxy', 'no TCP listener', 'Most clients need one: listen.tcp = "127.0.0.1:4780".'));
  }
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(match[2]) });
    const end = (finding: Finding): void => {
      socket.destroy();
      resolve(finding);
    };
    socket.setTimeout(PROXY_WAIT_MS, () =>
      end(failed('proxy', `${address} does not answer`, 'Restart the daemon; look at its log with `alterd logs`.')),
    );
    socket.once('error', (error) =>
      end(
        failed(
          'proxy',
          `${address} can't be reached (${codeOf(error)})`,
          'Is a firewall between? `alterd status` shows the address.',
        ),
      ),
    );
    socket.once('connect', () => socket.write('CONNECT alterd.internal:443 HTTP/1.1\r\nHost: alterd.internal:443\r\n\r\n'));
    socket.once('data', (data) => {
      const line = data.toString('latin1').split('\r\n')[0] ?? '';
      if (/^HTTP\/1\.[01] 407 /.test(line)) end(ok('proxy', `${address} asks for a key (407)`));
      else
        end(
          failed(
            'proxy',
            `${address} answered ${JSON.stringify(line)} without a key`,
            'Something else listens there: choose another port with listen.tcp.',
          ),
        );
    });
  });
}

/** Files that hold keys, or lead to them, are closed to everybody else. */
export function checkPrivacy(status: StatusView, apiSocket: string): Finding[] {
  const wanted: [string, number][] = [
    [status.state_dir, 0o077],
    [status.config_dir, 0o027],
    [apiSocket, 0o177],
    [join(status.config_dir, 'master.key'), 0o177],
  ];
  const open = wanted.flatMap(([path, forbidden]) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats !== undefined && (stats.mode & forbidden) !== 0 ? [`${path} has mode ${modeOf(stats)}`] : [];
  });
  if (open.length === 0) return [ok('permissions', 'keys and socket are closed to other users')];
  return open.map((detail) => failed('permissions', detail, `chmod go= ${detail.split(' has mode')[0]}`));
}

const modeOf = (stats: Stats): string => (stats.mode & 0o777).toString(8).padStart(4, '0');

/** An agent with the uid of the daemon can read its memory and its key file, whatever the proxy does. */
export function checkIsolation(pid: number): Finding {
  const fix = 'Run the daemon as a user of its own (systemd/alterd.service), and agents as another.';
  const uid = process.getuid?.();
  if (uid === 0) return exposed('isolation', 'this user is root: whatever it starts can read every secret of the daemon', fix);
  const daemonUid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
  if (daemonUid === undefined) return skipped('isolation', 'the user of the daemon is not known here');
  if (daemonUid === uid)
    return exposed(
      'isolation',
      `the daemon runs as this user (uid ${uid}): agents started here could read its memory and key file`,
      fix,
    );
  return ok('isolation', `the daemon runs as uid ${daemonUid}, this is uid ${uid}`);
}

/** A core dump holds every secret that the daemon has in memory. */
export function checkCoreDumps(pid: number): Finding {
  const limit = coreDumpLimit(pid);
  if (limit === undefined) return skipped('core dumps', 'the limits of the daemon are not known here');
  if (limit.soft === 0 && limit.hard === 0) return ok('core dumps', 'off');
  return exposed(
    'core dumps',
    'a crash of the daemon could write its memory, with every secret, to disk',
    'Install prlimit (util-linux) and restart, or set LimitCORE=0 in the unit.',
  );
}

export async function checkSudo(env: NodeJS.ProcessEnv): Promise<Finding> {
  if (process.getuid?.() === 0) return skipped('sudo', 'this user is root anyway');
  const ended = await runToEnd('sudo', ['-n', 'true'], { env, timeoutMs: 5_000 });
  if (ended.isMissing) return ok('sudo', 'not installed');
  return ended.code === 0
    ? exposed(
        'sudo',
        'this user may become root without a password, and so may every agent it starts',
        'Run agents as a user without sudo.',
      )
    : ok('sudo', 'needs a password');
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'not readable';
