/**
 * What the kernel says about the process at the other end of a loopback socket: uid, pid, executable, systemd unit. Read from /proc, because
 * Node offers no SO_PEERCRED. Costs milliseconds on a busy host, so it is read only when the configuration asks for it or a
 * key is bound to what it says.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Socket } from 'node:net';

export interface Peer {
  /** `127.0.0.1:PORT`, or `unix` for the proxy's Unix socket. */
  readonly address: string;
  readonly uid: number | null;
  readonly pid: number | null;
  readonly executable: string | null;
  /** The unit of the process's cgroup, `research.service`. */
  readonly unit: string | null;
}

export function peerOf(socket: Socket): Peer {
  const address = socket.remoteAddress === undefined ? 'unix' : `${socket.remoteAddress}:${socket.remotePort}`;
  return { address, uid: null, pid: null, executable: null, unit: null };
}

/** `A.B.C.D:port` as /proc/net/tcp writes it: little-endian hex. */
function procAddress(ip: string, port: number): string | null {
  const parts = ip.split('.').map(Number);
  if (parts.length !== 4) return null;
  const hex = parts
    .reverse()
    .map((p) => p.toString(16).padStart(2, '0'))
    .join('');
  return `${hex}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

/** The same for IPv6 loopback, which is all that a loopback listener sees. */
function procAddress6(ip: string, port: number): string | null {
  return ip === '::1' ? `${'0'.repeat(24)}01000000:${port.toString(16).padStart(4, '0').toUpperCase()}` : null;
}

const procSocket = (ip: string, port: number): string | null =>
  procAddress(ip.startsWith('::ffff:') ? ip.slice(7) : ip, port) ?? procAddress6(ip, port);

/** The peer with its uid, and pid and executable where this process may read them. Nulls when the kernel does not say. */
export async function lookUpPeer(socket: Socket): Promise<Peer> {
  const base = peerOf(socket);
  const { remoteAddress: ip, remotePort: port, localAddress: ownIp, localPort: ownPort } = socket;
  if (ip === undefined || port === undefined || ownIp === undefined || ownPort === undefined) return base;
  const theirs = procSocket(ip, port);
  const ours = procSocket(ownIp, ownPort);
  if (theirs === null || ours === null) return base;
  const table = await readFile(
    ip.includes(':') && !ip.startsWith('::ffff:') ? '/proc/net/tcp6' : '/proc/net/tcp',
    'latin1',
  ).catch(() => '');
  for (const line of table.split('\n')) {
    const cells = line.trim().split(/\s+/);
    // SECURITY: both ends. A port may have sockets to other places at the same time, of other users, which would lend theirs; and of a
    // socket that nobody holds any more the kernel says 0, which is root.
    if (cells[1]?.toUpperCase() !== theirs || cells[2]?.toUpperCase() !== ours || cells[9] === '0') continue;
    const uid = Number(cells[7]);
    const process = await processOfInode(cells[9] ?? '', uid);
    return { ...base, uid, pid: process?.pid ?? null, executable: process?.executable ?? null, unit: process?.unit ?? null };
  }
  return base;
}

interface OwningProcess {
  readonly pid: number;
  readonly executable: string | null;
  readonly unit: string | null;
}

async function processOfInode(inode: string, uid: number): Promise<OwningProcess | null> {
  const wanted = `socket:[${inode}]`;
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (uid !== 0 && !(await ownedBy(pid, uid))) continue;
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of fds) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) !== wanted) continue;
      return {
        pid: Number(pid),
        executable: await readlink(`/proc/${pid}/exe`).catch(() => null),
        unit: unitOf(await readFile(`/proc/${pid}/cgroup`, 'latin1').catch(() => '')),
      };
    }
  }
  return null;
}

/**
 * The unit in the text of /proc/PID/cgroup: of cgroup v2 (`0::/system.slice/research.service`) or systemd's own hierarchy of v1.
 * The innermost service or scope counts: a process of a user's session is in the scope, not in `user@1000.service` around it.
 */
export function unitOf(cgroup: string): string | null {
  const line = cgroup.split('\n').find((each) => /^(0:|\d+:name=systemd):/.test(each));
  const parts = line?.slice(line.indexOf(':', line.indexOf(':') + 1) + 1).split('/') ?? [];
  return parts.findLast((part) => /\.(service|scope)$/.test(part)) ?? parts.findLast((part) => part.endsWith('.slice')) ?? null;
}

async function ownedBy(pid: string, uid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  return new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(status);
}
