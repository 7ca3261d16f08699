/** S-69, S-71 … S-72, S-80 … S-89: this machine: files, processes and users. It only looks. */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { coreDumpLimit } from '../../core-dumps.ts';
import { type Aside, type Check, exposed, insist, skipped } from '../check.ts';
import type { Ground } from '../ground.ts';
import { leaksOf } from '../origin.ts';
import { everySecret } from './secrets.ts';

/** What was written a moment ago is near the end of a file; the start of a database can change too. */
const SEARCHED_BYTES = 32 * 1024 * 1024;

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((file) => lstatSync(file, { throwIfNoEntry: false })?.isFile() === true);
}

/** Both ends of a file. */
function endsOf(file: string): string {
  const fd = openSync(file, 'r');
  try {
    const { size } = statSync(file);
    const parts =
      size <= 2 * SEARCHED_BYTES
        ? [[0, size]]
        : [
            [0, SEARCHED_BYTES],
            [size - SEARCHED_BYTES, SEARCHED_BYTES],
          ];
    return parts
      .map(([at = 0, length = 0]) => {
        const bytes = Buffer.alloc(length);
        return bytes.toString('latin1', 0, readSync(fd, bytes, 0, length, at));
      })
      .join('\n');
  } finally {
    closeSync(fd);
  }
}

const modeOf = (stats: Stats): string => (stats.mode & 0o777).toString(8).padStart(4, '0');

/** The file is there, is no link, and has none of these bits. */
function expectClosed(path: string, forbidden: number): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  insist(stats !== undefined, `${path} is not there`);
  insist(!stats.isSymbolicLink(), `${path} is a link`);
  insist((stats.mode & forbidden) === 0, `${path} has mode ${modeOf(stats)}: others may use it`);
}

const keyFiles = ({ ca_file }: Ground['status']): string[] => {
  const dir = dirname(ca_file);
  return readdirSync(dir)
    .filter((name) => /key/i.test(name))
    .map((name) => join(dir, name));
};

function isolation({ status }: Ground): Aside | undefined {
  const own = process.getuid?.();
  const daemon = statSync(`/proc/${status.pid}`, { throwIfNoEntry: false })?.uid;
  const remedy = 'run the daemon as a user of its own (systemd/), and agents as another';
  if (own === 0) return exposed(`this user is root: what it starts reads every secret; ${remedy}`);
  if (daemon === undefined) return skipped('the user of the daemon is not known here');
  if (daemon === own)
    return exposed(`the daemon runs as this user (uid ${own}): agents started here could read its memory and key; ${remedy}`);
}

/** Whether this user becomes root without a password. */
function hasFreeSudo(): Promise<boolean> {
  return new Promise((resolve) => {
    const child = execFile('sudo', ['-n', 'true'], { timeout: 5_000 }, (error) => resolve(error === null));
    child.stdin?.end();
  });
}

export const MACHINE_CHECKS: readonly Check[] = [
  {
    id: 'S-69',
    run: async (ground) => {
      // Asked first: the answer holds what was written, so everything is in the files by then.
      const rows = JSON.stringify(await ground.client.read('/v1/audit', { limit: 1000 }));
      for (const secret of everySecret(ground)) insist(leaksOf(rows, secret).length === 0, 'an audit row shows a secret');
      for (const dir of [ground.status.state_dir, ground.status.config_dir])
        for (const file of filesBelow(dir)) {
          const text = endsOf(file);
          for (const secret of everySecret(ground))
            insist(leaksOf(text, secret).length === 0, `${file} holds a secret in plain sight`);
        }
    },
  },
  {
    id: 'S-71',
    run: (ground) => {
      const limit = coreDumpLimit(ground.status.pid);
      if (limit !== undefined && (limit.soft !== 0 || limit.hard !== 0))
        return exposed(
          'a crash of the daemon could write its memory to disk: install prlimit (util-linux), or LimitCORE=0 in the unit',
        );
      return isolation(ground);
    },
  },
  {
    id: 'S-72',
    run: (ground) => {
      const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
      if (pids.length === 0) return skipped('there is no /proc here');
      for (const pid of pids) {
        let line: string;
        try {
          line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        } catch {
          continue; // it ended meanwhile
        }
        insist(!/alter_key_[a-z]+_\w{20}/.test(line), `the command line of process ${pid} holds an agent's key`);
        for (const secret of everySecret(ground))
          insist(!line.includes(secret), `the command line of process ${pid} holds a secret`);
      }
    },
  },
  {
    id: 'S-80',
    run: ({ status }) => {
      const keys = keyFiles(status);
      insist(keys.length > 0, 'the key of the CA is not where it is kept');
      for (const file of keys) {
        expectClosed(file, 0o177);
        insist(!/PRIVATE KEY/.test(readFileSync(file, 'latin1')), `${file} is not sealed`);
      }
    },
  },
  {
    id: 'S-81',
    run: ({ ca }) => {
      const onDisk = new X509Certificate(readFileSync(ca.ca_file)).fingerprint256;
      insist(onDisk === ca.fingerprint_sha256, `${ca.ca_file} is not the CA that the daemon uses`);
    },
  },
  {
    id: 'S-82',
    run: ({ ca }) => {
      expectClosed(ca.bundle_file, 0o022);
      const text = readFileSync(ca.bundle_file, 'utf8');
      insist(text.replace(/\s+/g, '').includes(ca.pem.replace(/\s+/g, '')), `${ca.bundle_file} lacks the CA`);
      insist(text.split('BEGIN CERTIFICATE').length > 20, `${ca.bundle_file} lacks the roots of the system`);
    },
  },
  {
    id: 'S-85',
    run: ({ status, client }) => {
      expectClosed(status.state_dir, 0o077);
      expectClosed(status.config_dir, 0o027);
      expectClosed(client.socketPath, 0o177);
      expectClosed(join(status.state_dir, 'vault.db'), 0o177);
      if (status.proxy.unix !== null) expectClosed(status.proxy.unix, 0o117);
    },
  },
  {
    id: 'S-87',
    run: ({ status }) => {
      const file = join(status.config_dir, 'master.key');
      if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) expectClosed(file, 0o177);
      const inState = filesBelow(status.state_dir).filter((each) => /master\.key$/.test(each));
      insist(inState.length === 0, `${inState[0]} lies beside what it opens`);
    },
  },
  {
    id: 'S-89',
    run: async (ground) => {
      if (process.getuid?.() !== 0 && (await hasFreeSudo()))
        return exposed('this user becomes root without a password, and so does every agent that it starts');
      return isolation(ground);
    },
  },
];
