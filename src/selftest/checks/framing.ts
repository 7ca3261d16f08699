/** S-33 … S-49, S-110 … S-112: messages that two parsers could read differently, headers that say what they should not, upgrades. */
import { type Check, insist } from '../check.ts';
import { expectForwarded, expectRefusal, expectUntouched, requireOrigin } from '../expect.ts';
import type { Ground } from '../ground.ts';

/** A POST to the origin with these header lines and this body, as it is. */
const post = (ground: Ground, lines: readonly string[], body = ''): string =>
  `${[`POST ${ground.url('/public/x')} HTTP/1.1`, `Host: ${ground.origin.authority}`, '@', ...lines].join('\r\n')}\r\n\r\n${body}`;

const doubtful =
  (messages: (ground: Ground) => readonly string[]): Check['run'] =>
  (ground) =>
    expectUntouched(ground, async () => {
      for (const message of messages(ground)) {
        const made = await ground.bot.open();
        made.write(message.replace(/^@\r\n/m, `${ground.bot.auth}\r\n`));
        expectRefusal(await made.reader.next(), 400, message.slice(message.indexOf('Proxy-') + 1));
        await made.reader.ended();
        made.socket.destroy();
      }
    });

const forwarded =
  (path: string, lines: readonly string[], look: (ground: Ground) => string | null): Check['run'] =>
  async (ground) => {
    await expectForwarded(ground, () => ground.bot.ask('GET', ground.url(path), lines));
    const fault = look(ground);
    insist(fault === null, fault ?? '');
  };

const upgrade = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

export const FRAMING_CHECKS: readonly Check[] = [
  {
    id: 'S-33',
    run: doubtful((ground) => [
      post(ground, ['Content-Length: 4', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
      post(ground, ['Content-Length: 4', 'Content-Length: 5'], 'abcde'),
      post(ground, ['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'),
      post(ground, ['Content-Length: +4'], 'abcd'),
    ]),
  },
  {
    id: 'S-34',
    run: doubtful((ground) => [
      post(ground, ['Content-Length : 0']),
      post(ground, ['X-Folded: a', ' b', 'Content-Length: 0']),
      post(ground, ['X-Nul: a\u0000b', 'Content-Length: 0']),
      post(ground, ['Content-Length: 0']).replace(' HTTP/1.1', ' HTTP/1.10'),
    ]),
  },
  {
    id: 'S-35',
    run: async (ground) => {
      requireOrigin(ground);
      const { name, speaker } = await ground.agent();
      await ground.grant(name, 'first', {
        hosts: [`http://${ground.origin.authority}`],
        allow_plaintext: true,
        methods: ['GET'],
      });
      const made = await speaker.open();
      const head = (method: string): string =>
        `${method} ${ground.url('/public/x')} HTTP/1.1\r\nHost: ${ground.origin.authority}\r\n${speaker.auth}\r\n\r\n`;
      const before = ground.origin.arrivals.length;
      made.write(head('GET') + head('DELETE'));
      const statuses = [(await made.reader.next()).status, (await made.reader.next()).status];
      made.socket.destroy();
      insist(statuses.join() === '200,403', `two requests in one go were answered ${statuses.join(' and ')}`);
      insist(ground.origin.arrivals.length === before + 1, 'the refused one reached the origin');
      const rows = (await ground.rows(name)).filter(({ path }) => path !== null);
      insist(rows.length === 2, `there are ${rows.length} audit rows for two requests`);
    },
  },
  {
    id: 'S-36',
    run: async (ground) => {
      const inner = `DELETE /public/inner HTTP/1.1\r\nHost: ${ground.origin.authority}\r\n\r\n`;
      await expectForwarded(ground, () => ground.bot.ask('GET', ground.url('/public/x'), [], inner));
      insist(ground.origin.arrivals.at(-1)?.body === inner, 'the body of a GET did not stay a body');
    },
  },
  {
    id: 'S-37',
    run: async (ground) => {
      const body = '4;ext=1\r\nabcd\r\n0\r\nAuthorization: Bearer of-the-trailer\r\nHost: evil.invalid\r\n\r\n';
      await expectForwarded(ground, () => ground.bot.send(post(ground, ['Transfer-Encoding: chunked'], body)));
      const seen = ground.origin.arrivals.at(-1);
      insist(seen?.body === 'abcd', 'the body was changed');
      insist(!JSON.stringify(seen).includes('of-the-trailer'), 'a trailer became a header');
    },
  },
  {
    id: 'S-38',
    run: forwarded('/public/x', ['Connection: close, Authorization, X-Gone', 'X-Gone: 1'], ({ origin, secret }) =>
      origin.lastValues('authorization').join() !== `Bearer ${secret}`
        ? 'the client could nominate the injected header away'
        : origin.lastValues('x-gone').length > 0
          ? 'a nominated header was forwarded'
          : null,
    ),
  },
  {
    id: 'S-39',
    run: forwarded('/public/x', ['authorization: Bearer mine', 'AUTHORIZATION: Bearer mine'], ({ origin, secret }) =>
      origin.lastValues('authorization').join() === `Bearer ${secret}` && !JSON.stringify(origin.arrivals.at(-1)).includes('mine')
        ? null
        : `the origin got ${origin.lastValues('authorization').length} values`,
    ),
  },
  {
    id: 'S-40',
    run: async (ground) => {
      for (const value of ['line\r\nX-Injected: 1', 'nul\u0000byte']) {
        const body = { name: `${ground.name}-odd`, provider: 'selftest', kind: 'bearer', fields: { token: value } };
        const code = await ground.refusalOf('secrets', body);
        insist(code === 'invalid_input', `a value with a control byte was ${code === null ? 'stored' : `refused with ${code}`}`);
      }
    },
  },
  {
    id: 'S-41',
    run: forwarded('/public/x', ['Proxy-Connection: keep-alive', 'Alter-Reason: selftest'], ({ origin }) => {
      const names = (origin.arrivals.at(-1)?.rawHeaders ?? []).filter((_each, i) => i % 2 === 0);
      const found = names.filter((name) => /^(proxy-|alter-)/i.test(name));
      return found.length === 0 ? null : `the origin got ${found.join(', ')}`;
    }),
  },
  {
    id: 'S-42',
    run: (ground) =>
      expectUntouched(ground, async () => {
        const lines = ['X-HTTP-Method-Override: DELETE'];
        expectRefusal(await ground.bot.ask('POST', ground.url('/public/x'), lines, 'x'), 403, 'a method asked for by header');
      }),
  },
  {
    id: 'S-43',
    run: (ground) =>
      expectUntouched(ground, async () => {
        for (const method of ['TRACE', 'TRACK'])
          expectRefusal(await ground.bot.ask(method, ground.url('/public/x')), 405, method);
      }),
  },
  {
    id: 'S-44',
    run: forwarded('/public/x', [], ({ origin }) => {
      const found = ['via', 'forwarded', 'x-forwarded-for', 'x-real-ip'].filter((name) => origin.lastValues(name).length > 0);
      return found.length === 0 ? null : `the origin got ${found.join(', ')}`;
    }),
  },
  {
    id: 'S-46',
    run: (ground) =>
      expectUntouched(ground, async () => {
        const limit = Number(ground.setting('limits.headers') ?? 200);
        const lines = Array.from({ length: limit + 1 }, (_none, i) => `X-${i}: 1`);
        expectRefusal(await ground.bot.ask('GET', ground.url('/public/x'), lines), 431, `${limit + 1} headers`);
      }),
  },
  {
    id: 'S-47',
    run: async (ground) => {
      requireOrigin(ground);
      expectRefusal(await ground.bot.ask('GET', ground.url('/public/nonsense')), 502, 'nonsense from the origin');
      await expectForwarded(ground, () => ground.bot.ask('GET', ground.url('/public/x')));
    },
  },
  {
    id: 'S-110',
    run: forwarded('/public/x', ['Upgrade: websocket', 'Sec-WebSocket-Version: 13'], ({ origin }) =>
      origin.lastValues('upgrade').length === 0 ? null : 'half a handshake was passed on as an upgrade',
    ),
  },
  {
    id: 'S-111',
    run: async (ground) => {
      requireOrigin(ground);
      expectRefusal(await ground.bot.ask('GET', ground.url('/public/switch')), 502, 'a 101 that nobody asked for');
      expectRefusal(await ground.bot.ask('GET', ground.url('/public/x'), upgrade), 502, 'a 101 with a wrong accept');
    },
  },
  {
    id: 'S-112',
    run: (ground) =>
      expectUntouched(ground, async () => {
        expectRefusal(
          await ground.bot.ask('GET', ground.url('/private/x'), upgrade),
          403,
          'an upgrade on a path without a grant',
        );
      }),
  },
];
