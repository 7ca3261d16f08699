/** S-91, S-99, S-104, S-105, S-107, S-108: what ends, fills up, breaks or is changed while requests are under way. */
import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClient } from '../../src/api/client.ts';
import { readCheckpoints, verifyExport } from '../../src/journal/offline-verify.ts';
import { startTestDaemon, type TestDaemon } from '../helpers/daemon.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startProcess } from './support/child.ts';
import {
  BEARER,
  EVIL,
  expectRefusal,
  GOOD,
  SECRET,
  startWall,
  until,
  valuesOf,
  type Wall,
  type WallAgent,
} from './support/wall.ts';
import { type RawOrigin, readAnswer, readRequest, startRawOrigin, type Wire } from './support/wire.ts';

let wall: Wall;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startWall();
  bot = await wall.agent();
});
afterAll(() => wall.stop());

const last = () => wall.good.arrivals.at(-1)!;
const GET = `GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`;

it('guard: the credential reaches the granted host', async () => {
  expect((await bot.ask('/')).status).toBe(200);
  expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
});

it('S-91 what can not be evaluated denies: a bound key where no uid is known, a rule that can not be read', async () => {
  const { key } = await wall.daemon.api<{ key: string }>('POST', `/v1/agents/${bot.name}/keys`, {
    bound_uid: process.getuid?.(),
  });
  const socket = connect(wall.daemon.running.facts().proxy.unix as string);
  socket.write(`GET http://${GOOD}/ HTTP/1.1\r\nHost: ${GOOD}\r\nProxy-Authorization: Bearer ${key}\r\n\r\n`);
  const [head] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  expect(head.toString()).toMatch(/^HTTP\/1\.1 403 /);
  await wall.row({ policy_error: 'token_uid_mismatch', outcome: 'refused' });
  const session = await wall.daemon
    .api<{ key: string }>('POST', '/v1/sessions', { agent: bot.name, denied_paths: ['no slash/**'] })
    .catch(() => null);
  expect(session).toBeNull();
});

describe('revocation', () => {
  let raw: RawOrigin;
  const RAW = 'raw.good.test';
  beforeAll(async () => {
    raw = await startRawOrigin(wall.pki);
    const { configFile } = wall.daemon.paths;
    writeFileSync(
      configFile,
      readFileSync(configFile, 'utf8').replace('resolve = {', `resolve = { "${RAW}:443" = "127.0.0.1:${raw.port}",`),
    );
    await wall.daemon.running.reload();
  });
  afterAll(() => raw.close());

  const revokeGrant = (agent: WallAgent): Promise<unknown> => wall.daemon.api('POST', `/v1/grants/${agent.grantId}/revoke`);
  const revokeKey = async (agent: WallAgent): Promise<unknown> => {
    const { keys } = await wall.daemon.api<{ keys: { id: string }[] }>('GET', `/v1/agents/${agent.name}/keys`);
    return wall.daemon.api('POST', `/v1/keys/${keys[0]?.id}/revoke`, { force: true });
  };
  const ways: [string, (agent: WallAgent) => Promise<unknown>, string][] = [
    ['grant', revokeGrant, 'grant_revoked'],
    ['key', revokeKey, 'policy_violation'],
    ['agent', (agent) => wall.daemon.api('POST', `/v1/agents/${agent.name}/status`, { status: 'paused' }), 'policy_violation'],
  ];

  it.each(ways)(
    'S-99 the next request in an open tunnel is refused once the %s is revoked, over HTTP/1 and HTTP/2',
    async (_what, revoke, code) => {
      const agent = await wall.agent();
      const wire = await agent.open();
      wire.write(GET);
      expect((await readAnswer(wire)).status).toBe(200);
      const secure = await agent.tls({ alpn: ['h2'] });
      const session = connectHttp2(`https://${GOOD}`, { createConnection: () => secure });
      const ask = () =>
        new Promise<unknown>((resolve) => {
          const stream = session.request({ ':path': '/', ':authority': GOOD });
          stream.on('response', (headers) => resolve([headers[':status'], headers['alter-error']]));
          stream.on('error', (error) => resolve(error.message));
          stream.resume();
        });
      expect(await ask()).toEqual([200, undefined]);
      const before = wall.good.arrivals.length;
      await revoke(agent);
      wire.write(GET);
      expectRefusal(await readAnswer(wire), 403, code);
      expect(await ask()).toEqual([403, code]);
      await wall.row({ agent: agent.name, error: code, outcome: 'refused', protocol: 'HTTP/2' });
      expect(wall.good.arrivals.length).toBe(before);
      session.destroy();
    },
  );

  /** A request whose answer has begun and goes on. */
  async function streaming(agent: WallAgent): Promise<{ client: Wire; server: Wire }> {
    const client = await agent.open({ connect: `${RAW}:443`, sni: RAW });
    client.write(`GET /events HTTP/1.1\r\nHost: ${RAW}\r\n\r\n`);
    const server = await raw.next();
    await readRequest(server);
    server.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n');
    expect(await client.until('data: \r\n')).toContain('200 OK');
    return { client, server };
  }

  it.each(ways)('S-99 an answer that streams ends within two seconds once the %s is revoked', async (_what, revoke) => {
    const agent = await wall.agent({ hosts: [RAW] });
    const { client, server } = await streaming(agent);
    const started = Date.now();
    await revoke(agent);
    await Promise.all([client.closed, server.closed]);
    expect(Date.now() - started).toBeLessThan(2_000);
    expect(client.waiting).not.toContain('0\r\n\r\n');
    await wall.row({ agent: agent.name, path: '/events', outcome: 'refused', error: 'policy_violation' });
  });

  it.each(ways)('S-99 a WebSocket ends within two seconds once the %s is revoked', async (_what, revoke) => {
    const agent = await wall.agent({ hosts: [RAW] });
    const client = await agent.open({ connect: `${RAW}:443`, sni: RAW });
    client.write(
      `GET /ws HTTP/1.1\r\nHost: ${RAW}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    const server = await raw.next();
    await readRequest(server, true);
    server.write(
      'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    );
    expect((await readAnswer(client)).status).toBe(101);
    const started = Date.now();
    await revoke(agent);
    await Promise.all([client.closed, server.closed]);
    expect(Date.now() - started).toBeLessThan(2_000);
    await wall.row({ agent: agent.name, path: '/ws', status: 101 });
  });

  it('S-99 a blind tunnel ends with the key that opened it', async () => {
    const open = await startWall({ config: `allow_private = ["${EVIL}:443"]` });
    const agent = await open.agent();
    const { answer, wire } = await agent.connect(`${EVIL}:443`);
    expect(answer.status).toBe(200);
    await open.daemon.api('POST', `/v1/agents/${agent.name}/status`, { status: 'revoked' });
    await wire.closed;
    await open.row({ agent: agent.name, host: EVIL, kind: 'tunnel', outcome: 'success' });
    await open.stop();
  });
});

describe('the journal', () => {
  it('S-104 on a full disk nothing leaves, and it goes on when there is room', async () => {
    const home = mkdtempSync(join(tmpdir(), 'alterd-full-'));
    const first = await startTestDaemon({ home });
    await first.running.stop();
    const dir = first.paths.auditDir;
    expect(dir.startsWith(join(home, 'state'))).toBe(true);
    rmSync(dir, { recursive: true });
    mkdirSync(dir, { mode: 0o700 });
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6144k,mode=0700', 'tmpfs', dir]).status !== 0) {
      console.log('not possible here: a tmpfs mount (needs root); test/integration/journal has a file size limit for it');
      rmSync(home, { recursive: true });
      return;
    }
    try {
      rmSync(join(home, 'state', 'vault.db'), { force: true });
      const origin = await startOrigin(wall.pki);
      const daemon = await startTestDaemon({
        home,
        config: `[upstream]\nca_file = "${wall.pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${origin.port}" }\n[audit]\nsegment_bytes = 262144\n`,
      });
      await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
      const { authorization } = await daemon.agent('bot');
      await daemon.api('POST', '/v1/grants', { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true });
      const ask = async (): Promise<{ status: number; code: string | undefined }> => {
        const socket = connect(daemon.port, '127.0.0.1');
        socket.write(
          `GET https://${GOOD}/x HTTP/1.1\r\nHost: ${GOOD}\r\nConnection: close\r\nProxy-Authorization: ${authorization}\r\n\r\n`,
        );
        let text = '';
        for await (const chunk of socket) text += String(chunk);
        return { status: Number(text.split(' ')[1]), code: /^alter-error: (\S+)/im.exec(text)?.[1] };
      };
      expect((await ask()).status).toBe(200);
      const ballast = join(dir, 'ballast');
      for (let size = 4 * 1024 * 1024; size >= 4096; size /= 2) {
        for (;;) {
          const { size: before } = statSync(ballast, { throwIfNoEntry: false }) ?? { size: 0 };
          try {
            writeFileSync(ballast, Buffer.alloc(size), { flag: 'a' });
          } catch {
            break;
          }
          if (statSync(ballast).size === before) break;
        }
      }
      // What was set aside for entries is used up first; then everything is refused.
      let refused = await ask();
      for (let i = 0; i < 20_000 && refused.status !== 503; i++) refused = await ask();
      expect(refused).toEqual({ status: 503, code: 'audit_unavailable' });
      const before = origin.arrivals.length;
      expect(await ask()).toEqual({ status: 503, code: 'audit_unavailable' });
      expect(origin.arrivals.length).toBe(before);
      rmSync(ballast);
      await until(async () => (await ask()).status === 200, 15_000);
      await daemon.running.stop();
      await origin.close();
    } finally {
      spawnSync('umount', ['-l', dir]);
      rmSync(home, { recursive: true, force: true });
    }
  }, 60_000);

  /** What an export shows of itself, with the key that was kept and no daemon. */
  async function expectOfflineChecks(daemon: TestDaemon): Promise<void> {
    const { public_key } = await daemon.api<{ public_key: string }>('GET', '/v1/audit/key');
    const lines: string[] = [];
    for await (const part of openClient(daemon.paths.apiSocket).stream('/v1/audit/export')) lines.push(part.toString('latin1'));
    const all = lines.join('').trimEnd().split('\n');
    const check = async (changed: readonly string[]): Promise<unknown> => {
      const source = async function* () {
        yield* changed;
      };
      const kept = await readCheckpoints(source());
      return verifyExport(source(), kept, { publicKey: createPublicKey(public_key), partial: false });
    };
    const rows = all.filter((line) => line.startsWith('{"n":')).length;
    const at = all.findIndex((line) => line.includes('marker-to-tamper'));
    expect(at).toBeGreaterThan(2);
    expect(await check(all)).toMatchObject({ ok: true, signedUpTo: rows });
    const damaged: [string[], number][] = [
      [all.with(at, (all[at] as string).replace('marker', 'MARKER')), at + 1],
      [all.toSpliced(at - 1, 1), at],
      [all.toSpliced(at - 1, 2, all[at] as string, all[at - 1] as string), at],
      [all.toSpliced(2, rows - 2), 3],
    ];
    for (const [changed, firstBad] of damaged) expect(await check(changed)).toMatchObject({ ok: false, firstBad });
  }

  it('S-105 nothing that an agent says makes a second row, and a changed byte is found', async () => {
    const home = mkdtempSync(join(tmpdir(), 'alterd-chain-'));
    const first = await startTestDaemon({ home, config: 'egress = "refuse"' });
    const { key } = await first.agent('bot');
    const user = Buffer.from(`a"},{"n",1}\\n+run=1"}:${key}`).toString('base64');
    for (const path of ['/x%22%7D', '/","outcome":"success"}{"n":1', '/a%0a%7B%22type%22:1%7D', '/marker-to-tamper']) {
      const socket = connect(first.port, '127.0.0.1');
      socket.write(
        `GET https://${GOOD}${path} HTTP/1.1\r\nHost: ${GOOD}\r\nConnection: close\r\nAlter-Reason: "},{"n":7,"kind":"event\r\nProxy-Authorization: Basic ${user}\r\n\r\n`,
      );
      for await (const _chunk of socket);
    }
    const { entries } = await first.api<{ entries: { action: string; agent: string; kind: string }[] }>(
      'GET',
      '/v1/audit?limit=100',
    );
    const rows = entries.filter(({ kind }) => kind === 'exchange');
    expect(rows.map(({ agent }) => agent)).toEqual(['bot', 'bot', 'bot', 'bot']);
    expect(entries.filter(({ kind, action }) => kind === 'event' && !/^(daemon|agent|key|ca|audit)\./.test(action))).toEqual([]);
    expect(await first.api('POST', '/v1/audit/verify')).toMatchObject({ ok: true });
    await expectOfflineChecks(first);
    await first.running.stop();
    const files = readdirSync(first.paths.auditDir).map((name) => join(first.paths.auditDir, name));
    let changed = 0;
    for (const file of files) {
      const bytes = readFileSync(file);
      for (let at = bytes.indexOf('marker-to-tamper'); at !== -1; at = bytes.indexOf('marker-to-tamper', at + 1)) {
        bytes.write('MARKER', at, 'latin1');
        changed++;
      }
      writeFileSync(file, bytes);
    }
    expect(changed).toBeGreaterThan(0);
    const second = await startTestDaemon({ home }).catch((error: unknown) => error);
    if (!(second instanceof Error)) {
      const daemon = second as Awaited<ReturnType<typeof startTestDaemon>>;
      expect(await daemon.api('POST', '/v1/audit/verify')).toMatchObject({ ok: false });
      await daemon.running.stop();
    }
    rmSync(home, { recursive: true });
  });
});

it('S-107 a wrong configuration changes nothing, in no part, and is told', async () => {
  const own = await startWall({ config: 'egress = "refuse"' });
  const agent = await own.agent();
  const { configFile } = own.daemon.paths;
  const right = readFileSync(configFile, 'utf8');
  for (const wrong of [
    right.replace('"refuse"', '"tunnel"\nnonsense = 1'),
    'egress = "tunnel"\n[',
    `egress = "tunnel"\n[upstream]\nca_file = "/nonexistent"\n`,
    'egress = "tunnel"\n[limits]\nheaders = 0\n',
  ]) {
    writeFileSync(configFile, wrong);
    await expect(own.daemon.running.reload()).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(own.daemon.api('POST', '/v1/reload')).rejects.toMatchObject({ problem: { error: 'invalid_input' } });
    expectRefusal((await agent.connect(`${EVIL}:443`)).answer, 403, 'destination_refused', 'egress_refused');
    expect((await agent.ask('/')).status).toBe(200);
  }
  await own.row({ agent: agent.name, host: EVIL, error: 'destination_refused' });
  writeFileSync(configFile, right);
  await own.daemon.running.reload();
  await own.row({ action: 'config.reloaded' });
  await own.stop();
});

it('S-108 SIGTERM lets a request under way finish, refuses new ones, exits with 0 and loses no row', async () => {
  const raw = await startRawOrigin(wall.pki);
  const daemon = await startProcess({
    config: `[upstream]\nca_file = "${wall.pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${raw.port}" }\n`,
    logLevel: 'info',
  });
  await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
  const { authorization } = await daemon.agent('bot');
  await daemon.api('POST', '/v1/grants', { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true });
  const ask = (path: string): { text: () => string; ended: Promise<unknown> } => {
    const socket = connect(daemon.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.on('error', () => {});
    socket.write(`GET https://${GOOD}${path} HTTP/1.1\r\nHost: ${GOOD}\r\nProxy-Authorization: ${authorization}\r\n\r\n`);
    return { text: () => text, ended: once(socket, 'close') };
  };
  const slow = ask('/slow');
  const origin = await raw.next();
  await readRequest(origin);
  daemon.signal('SIGTERM');
  const isTaken = (): Promise<boolean> =>
    new Promise((resolve) => {
      const late = connect(daemon.port, '127.0.0.1');
      late.once('connect', () => {
        late.destroy();
        resolve(true);
      });
      late.once('error', () => resolve(false));
    });
  await until(async () => !(await isTaken()));
  origin.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate');
  await slow.ended;
  expect(slow.text()).toMatch(/^HTTP\/1\.1 200 OK\r\n.*late$/s);
  expect(await daemon.exited).toBe(0);
  const again = await startProcess({ home: daemon.home, logLevel: 'info' });
  const { entries } = await again.api<{ entries: Record<string, unknown>[] }>('GET', '/v1/audit?limit=50');
  expect(entries.find(({ path }) => path === '/slow')).toMatchObject({ outcome: 'success', status: 200 });
  expect(entries.map(({ action }) => action)).toContain('daemon.stopped');
  expect(await again.api('POST', '/v1/audit/verify')).toMatchObject({ ok: true });
  await again.stop();
  await raw.close();
});

it('nothing of all this showed the secret', () => wall.expectNoLeak());
