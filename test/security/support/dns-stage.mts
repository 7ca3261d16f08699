/**
 * A stage of its own, to be run in fresh network and mount namespaces: the system's resolver asks a name server of ours, and public addresses
 * lie on loopback. Runs a daemon through changing answers and prints what was seen as one line of JSON. It touches nothing outside its namespaces.
 */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { makePki } from '../../helpers/pki.ts';
import { startWall, type WallAgent } from './wall.ts';

const run = (command: string, ...args: string[]): void => {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
};

const PUBLIC = '203.0.113.5';
/** On loopback too, but nothing listens there. */
const SILENT = '203.0.113.6';
const dir = mkdtempSync(join(tmpdir(), 'alterd-dns-'));
run('ip', 'link', 'set', 'lo', 'up');
for (const address of [PUBLIC, SILENT]) run('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo');
writeFileSync(join(dir, 'resolv.conf'), 'nameserver 127.0.0.1\noptions attempts:1 timeout:2\n');
run('mount', '--bind', join(dir, 'resolv.conf'), '/etc/resolv.conf');

/** What each question for an address is answered with, in turn; the last answer stays. */
const ANSWERS: Record<string, string[][]> = {
  'steady.test': [[PUBLIC]],
  'flip.test': [[PUBLIC], ['127.0.0.1']],
  'mixed.test': [[PUBLIC, '10.0.0.1']],
  'two.test': [
    [SILENT, PUBLIC],
    [PUBLIC, SILENT],
  ],
};
const asked: Record<string, number> = {};
let questions = 0;

function answerTo(query: Buffer): Buffer {
  let at = 12;
  const labels: string[] = [];
  for (let length = query[at] as number; length > 0; length = query[at] as number) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += length + 1;
  }
  const end = at + 5;
  const name = labels.join('.').toLowerCase();
  const isA = query.readUInt16BE(at + 1) === 1;
  questions++;
  const turns = ANSWERS[name];
  let addresses: string[] = [];
  if (isA) {
    asked[name] = (asked[name] ?? 0) + 1;
    addresses = turns?.[Math.min((asked[name] as number) - 1, turns.length - 1)] ?? [];
  }
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(turns === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(addresses.length, 6);
  header.writeUInt16BE(0, 8);
  header.writeUInt16BE(0, 10);
  const records = addresses.map((ip) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...ip.split('.').map(Number)]));
  return Buffer.concat([header, query.subarray(12, end), ...records]);
}

const names = createSocket('udp4');
names.on('message', (query, peer) => names.send(answerTo(query), peer.port, peer.address));
await new Promise<void>((resolve) => names.bind(53, '127.0.0.1', resolve));

const pki = makePki();
const origin = createTlsServer({ SNICallback: (name, done) => done(null, pki.contextFor(name)) }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'));
});
await new Promise<void>((resolve) => origin.listen(443, PUBLIC, resolve));
let loopbackContacts = 0;
const loopback = createServer((socket) => {
  loopbackContacts++;
  socket.destroy();
});
await new Promise<void>((resolve) => loopback.listen(443, '127.0.0.1', resolve));

const wall = await startWall({ config: 'egress = "refuse"' });
await wall.daemon.running.reload();
writeFileSync(wall.daemon.paths.configFile, `egress = "refuse"\n[upstream]\nca_file = "${pki.caFile}"\n`);
await wall.daemon.running.reload();

const ask = async (bot: WallAgent, host: string): Promise<string> => {
  const answer = await bot.ask('/', { connect: `${host}:443`, sni: host, host });
  return answer.status === 200
    ? '200'
    : `${answer.status} ${answer.header('alter-error')} ${String(answer.json().policy_error ?? '')}`.trim();
};
const seen: Record<string, unknown> = {};
const before = questions;
const bot = await wall.agent({ hosts: Object.keys(ANSWERS), allow_private: false });
const { answer } = await bot.connect('ONSWG4TFOQWW2YLSNNSXE.evil.test:443');
seen.refused = { status: answer.status, questions: questions - before };
seen.steady = await ask(bot, 'steady.test');
seen.flip = [await ask(bot, 'flip.test'), asked['flip.test'], await ask(bot, 'flip.test'), asked['flip.test']];
seen.mixed = await ask(bot, 'mixed.test');
seen.two = [await ask(bot, 'two.test'), await ask(bot, 'two.test')];
seen.loopbackContacts = loopbackContacts;
console.log(JSON.stringify(seen));
await wall.stop();
rmSync(dir, { recursive: true, force: true });
rmSync(pki.dir, { recursive: true, force: true });
process.exit(0);
