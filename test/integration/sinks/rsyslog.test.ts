/** Debian's rsyslogd as the receiver, where it is installed: over TCP, UDP, and a datagram socket like /dev/log. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { SyslogSinkConfig } from '../../../src/config/sink.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { closing, opening } from '../journal/samples.ts';
import { pathOf, startRig, until } from './rig.ts';

const dir = mkdtempSync(join(tmpdir(), 'alterd-rsyslog-'));
let daemon: ChildProcess | undefined;
afterAll(() => {
  daemon?.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

test('rsyslogd reads every field as it was meant, over TCP, UDP and its own socket', async () => {
  if (spawnSync('rsyslogd', ['-v']).status !== 0 || spawnSync('logger', ['--version']).status !== 0) {
    console.log('not present here: rsyslogd');
    return;
  }
  const port = await freePort();
  const out = join(dir, 'out');
  writeFileSync(
    join(dir, 'conf'),
    `global(workDirectory="${dir}" maxMessageSize="64k")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imtcp")
input(type="imuxsock" Socket="${dir}/log" UseSpecialParser="off" RateLimit.Interval="0")
input(type="imudp" address="127.0.0.1" port="${port}")
input(type="imtcp" address="127.0.0.1" port="${port}")
template(name="fields" type="string" string="%inputname%|%syslogfacility%|%syslogseverity%|%app-name%|%msgid%|%msg%\\n")
action(type="omfile" file="${out}" template="fields")
`,
  );
  daemon = spawn('rsyslogd', ['-n', '-f', join(dir, 'conf'), '-i', join(dir, 'pid')], { stdio: 'ignore' });
  await until(() => existsSync(join(dir, 'log')) && existsSync(join(dir, 'pid')));
  const base = { kind: 'syslog', from: 'start', allowPrivate: true } as const;
  const destination = parseAuthority(`127.0.0.1:${port}`, 'http');
  const sinks: SyslogSinkConfig[] = [
    { ...base, name: 'tcp', transport: 'tcp', destination, path: '' },
    { ...base, name: 'udp', transport: 'udp', destination, path: '' },
    { ...base, name: 'unix', transport: 'unix', destination: null, path: join(dir, 'log') },
  ];
  const rig = await startRig(sinks);
  await rig.write('/one', '/"two"\\');
  await rig.journal.record(opening({ path: '/denied', decision: 'deny' }), closing({ outcome: 'refused' }));
  const lines = (): string[] => (existsSync(out) ? readFileSync(out, 'utf8').split('\n').slice(0, -1) : []);
  await until(() => lines().length >= 9);
  await rig.stop();
  const read = lines().map((line) => {
    const [input, facility, severity, app, msgid, ...rest] = line.split('|');
    return [input, facility, severity, app, input === 'imuxsock' ? '-' : msgid, pathOf(rest.join('|'))];
  });
  for (const input of ['imtcp', 'imudp', 'imuxsock']) {
    const msgid = input === 'imuxsock' ? '-' : 'exchange';
    expect(read.filter(([name]) => name === input)).toEqual([
      [input, '13', '6', 'alterd', msgid, '/one'],
      [input, '13', '6', 'alterd', msgid, '/"two"\\'],
      [input, '13', '4', 'alterd', msgid, '/denied'],
    ]);
  }
});
