/** S-01 … S-20: which host is this? Everything is refused before a byte leaves; the origin and the trap say so. */
import { type Check, insist } from '../check.ts';
import { expectRefusal, expectUntouched, requireFreeNames, requireOrigin } from '../expect.ts';
import type { Ground } from '../ground.ts';
import { startOrigin } from '../origin.ts';

/** Another address of this machine. */
const THIRD_HOST = '127.0.0.3';

/** Refused with this status for each of the messages. */
const refused =
  (status: number, messages: (ground: Ground) => readonly string[]): Check['run'] =>
  (ground) =>
    expectUntouched(ground, async () => {
      for (const message of messages(ground)) expectRefusal(await ground.bot.send(message), status, message);
    });

const connectTo = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n@\r\n\r\n`;

/** The tunnel is for the granted host: the certificate inside is for its plain name. */
async function leadsTo(ground: Ground, authority: string): Promise<undefined> {
  const { socket } = await ground.bot.secure(authority, ground.host);
  socket.destroy();
}

/** A credential whose places differ by host, and another one, take turns on one connection: none may go where it does not belong. */
async function keptApart(ground: Ground): Promise<undefined> {
  requireOrigin(ground);
  const third = await startOrigin(THIRD_HOST);
  try {
    const { name, speaker } = await ground.agent();
    const hosts = [ground.origin, third].map(({ authority }) => `http://${authority}`);
    const places = hosts.map((host, i) => ({
      in: 'header',
      name: `X-Place-${i}`,
      template: '{token}',
      hosts: [new URL(host).hostname],
    }));
    const parted = { name: `${name}-parted`, provider: 'selftest', fields: { token: ground.secret }, inject: places, hosts };
    insist((await ground.refusalOf('secrets', parted)) === null, 'the secret was refused');
    await ground.grant(name, 'first', { credential: parted.name, hosts, allow_plaintext: true });
    await ground.grant(name, 'second', { hosts: [`http://${ground.second.authority}`], allow_plaintext: true });
    const made = await speaker.open();
    for (let i = 0; i < 9; i++) {
      const at = [ground.origin, third, ground.second][i % 3] ?? third;
      made.write(`GET http://${at.authority}/public/x HTTP/1.1\r\nHost: ${at.authority}\r\n${speaker.auth}\r\n\r\n`);
      const { status } = await made.reader.next();
      insist(status === 200, `one of several requests was answered ${status}`);
      const got = [
        at.lastValues('x-place-0').length,
        at.lastValues('x-place-1').length,
        JSON.stringify(at.arrivals.at(-1)).includes(ground.secondSecret) ? 1 : 0,
      ];
      insist(
        got.every((count, place) => count === (place === i % 3 ? 1 : 0)),
        'an origin got what belongs to another one',
      );
    }
    made.socket.destroy();
  } finally {
    await third.close();
  }
}

export const HOST_CHECKS: readonly Check[] = [
  {
    id: 'S-01',
    run: (ground) =>
      expectUntouched(ground, async () => {
        requireFreeNames(ground);
        const inside = await ground.bot.tunnel(ground.origin.authority);
        inside.write('GET /public/x HTTP/1.1\r\nHost: evil.invalid\r\n\r\n');
        expectRefusal(await inside.reader.next(), 421, 'another Host in a tunnel');
        inside.socket.destroy();
      }),
  },
  {
    id: 'S-02',
    run: async (ground) => {
      const inside = await ground.bot.secure(`${ground.host}:443`, ground.host);
      inside.write('GET /public/x HTTP/1.1\r\nHost: evil.invalid\r\n\r\n');
      expectRefusal(await inside.reader.next(), 421, 'another Host in a TLS tunnel');
      inside.socket.destroy();
    },
  },
  {
    id: 'S-03',
    run: async (ground) => {
      const inside = await ground.bot.secure(`${ground.host}:443`, ground.host, 'evil.invalid');
      const names = inside.socket.getPeerCertificate().subjectaltname ?? '';
      insist(!names.includes('evil.invalid'), 'a certificate was made for the name in the hello');
      inside.write(`GET /public/x HTTP/1.1\r\nHost: ${ground.host}\r\n\r\n`);
      expectRefusal(await inside.reader.next(), 421, 'another name in the TLS hello');
      inside.socket.destroy();
    },
  },
  { id: 'S-04', run: refused(400, ({ url }) => [`GET ${url('/public/x')} HTTP/1.1\r\nHost: evil.invalid\r\n@\r\n\r\n`]) },
  {
    id: 'S-05',
    run: refused(400, ({ host, origin, url }) => [
      connectTo(`${host}@evil.invalid:443`),
      `GET http://${origin.authority}@evil.invalid/ HTTP/1.1\r\nHost: evil.invalid\r\n@\r\n\r\n`,
      `GET ${url('/public/x')} HTTP/1.1\r\nHost: x@${origin.authority}\r\n@\r\n\r\n`,
    ]),
  },
  {
    id: 'S-06',
    run: refused(400, ({ origin, url }) =>
      [`Host: ${origin.authority}\r\nHost: ${origin.authority}`, `Host: ${origin.authority}, evil.invalid`].map(
        (lines) => `GET ${url('/public/x')} HTTP/1.1\r\n${lines}\r\n@\r\n\r\n`,
      ),
    ),
  },
  {
    id: 'S-07',
    run: async (ground) => {
      await leadsTo(ground, `${ground.host}.:443`);
      expectRefusal(await ground.bot.connect(`${ground.host}..:443`), 400, 'two trailing dots');
    },
  },
  { id: 'S-08', run: (ground) => leadsTo(ground, `${ground.host.toUpperCase()}:443`) },
  { id: 'S-09', run: refused(400, ({ host }) => [connectTo(`[${host}]:443`)]) },
  { id: 'S-10', run: refused(400, ({ host }) => [connectTo(`[::ffff:127.0.0.1%x.${host}]:443`)]) },
  {
    id: 'S-11',
    run: (ground) => {
      const spellings = ['127.2', '0x7f.0.0.2', '2130706434', '0177.0.0.2'];
      return expectUntouched(ground, async () => {
        for (const ip of spellings) expectRefusal(await ground.bot.connect(`${ip}:${ground.trap.port}`), [400, 403], ip);
      });
    },
  },
  { id: 'S-12', run: refused(400, () => [connectTo('b\u00fccher.invalid:443'), connectTo('xn--a.invalid:443')]) },
  {
    id: 'S-13',
    run: refused(400, ({ host }) => ['%00', '\u0000', '_', '!'].map((odd) => connectTo(`${host}${odd}.evil.invalid:443`))),
  },
  {
    id: 'S-14',
    run: async (ground) => {
      const { name: agent } = await ground.agent();
      for (const host of ['*', '*.com', '*.co.uk', 'a.*.invalid', '*x.invalid']) {
        const code = await ground.refusalOf('grants', { credential: `${ground.name}-a`, agent, hosts: [host] });
        insist(code === 'invalid_input', `a grant for ${host} was ${code === null ? 'made' : `refused with ${code}`}`);
      }
    },
  },
  {
    id: 'S-15',
    run: (ground) =>
      expectUntouched(ground, async () => {
        expectRefusal(await ground.bot.ask('GET', `http://127.0.0.1:${ground.second.port + 1}/public/x`), 403, 'another port');
      }),
  },
  {
    id: 'S-16',
    run: async (ground) => {
      const { name, speaker } = await ground.agent();
      await ground.grant(name, 'first', { hosts: [ground.origin.authority] });
      await expectUntouched(ground, async () => {
        expectRefusal(await speaker.ask('GET', ground.url('/public/x')), 403, 'plain HTTP without allow_plaintext');
      });
    },
  },
  { id: 'S-17', run: keptApart },
];
