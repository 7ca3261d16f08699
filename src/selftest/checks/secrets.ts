/** S-58 … S-74: a credential that leaks back or sideways, and placeholders in the wrong place. */
import { constants, gunzipSync } from 'node:zlib';
import { type Check, insist } from '../check.ts';
import { expectForwarded, expectRefusal, expectUntouched, requireOrigin } from '../expect.ts';
import type { Ground } from '../ground.ts';
import { leaksOf } from '../origin.ts';

/** The origin sends the credential back in some form; the agent must not see it, and the row says that it was masked. */
const echoed =
  (path: string): Check['run'] =>
  async (ground) => {
    const { name, speaker } = await ground.agent();
    await ground.grant(name, 'first', { hosts: [`http://${ground.origin.authority}`], allow_plaintext: true });
    const answer = await expectForwarded(ground, () => speaker.ask('GET', ground.url(path)));
    insist(
      ground.origin.lastValues('authorization').join() === `Bearer ${ground.secret}`,
      'nothing was injected, so nothing was tried',
    );
    const found = leaksOf(answer.text, ground.secret);
    insist(found.length === 0, `${found.length} forms of the credential reached the agent`);
    // Cut and refused is as good as masked; passed on untouched would have been found above.
    const rows = await ground.rows(name);
    insist(
      answer.header('alter-error') !== undefined || rows.some(({ scrubbed }) => scrubbed > 0),
      'the row does not say that something was masked',
    );
  };

/** What is found inside of a coding that nobody asked for can't be masked there: the answer is cut, and the row says so. */
async function cutInGzip(ground: Ground): Promise<void> {
  const { name, speaker } = await ground.agent();
  await ground.grant(name, 'first', { hosts: [`http://${ground.origin.authority}`], allow_plaintext: true });
  requireOrigin(ground);
  const made = await speaker.open();
  const { authority } = ground.origin;
  made.write(`GET ${ground.url('/public/gzip')} HTTP/1.1\r\nHost: ${authority}\r\n${speaker.auth}\r\nConnection: close\r\n\r\n`);
  const raw = await made.reader.rest();
  made.socket.destroy();
  insist(
    ground.origin.lastValues('authorization').join() === `Bearer ${ground.secret}`,
    'nothing was injected, so nothing was tried',
  );
  const body = raw.subarray(raw.indexOf('\r\n\r\n') + 4);
  let opened = '';
  try {
    opened = gunzipSync(body, { finishFlush: constants.Z_SYNC_FLUSH }).toString('latin1');
  } catch {
    // Not one whole coded byte came.
  }
  insist(leaksOf(raw.toString('latin1') + opened, ground.secret).length === 0, 'the credential reached the agent inside of gzip');
  const rows = await ground.rows(name);
  insist(
    rows.some(({ scrubbed, error }) => scrubbed > 0 || error !== null),
    'the row does not say that the answer was cut',
  );
}

const authorization = (value: string): string => `Authorization: Bearer ${value}`;

/** What this run used must stand nowhere in plain sight. */
export const everySecret = ({ secret, secondSecret }: Ground): readonly string[] => [secret, secondSecret];

export const SECRET_CHECKS: readonly Check[] = [
  { id: 'S-58', run: echoed('/public/echo') },
  { id: 'S-59', run: echoed('/public/forms') },
  {
    id: 'S-60',
    run: async (ground) => {
      await echoed('/public/pieces')(ground);
      await cutInGzip(ground);
    },
  },
  {
    id: 'S-63',
    run: async (ground) => {
      const answer = await expectForwarded(ground, () => ground.bot.ask('GET', ground.url('/public/cookie')));
      insist(answer.header('set-cookie') === undefined, 'a cookie of the account reached the agent');
    },
  },
  {
    id: 'S-64',
    run: (ground) =>
      expectUntouched(ground, async () => {
        const lines = [authorization(ground.secondPlaceholder)];
        expectRefusal(await ground.bot.ask('GET', ground.url('/public/x'), lines), 403, 'the placeholder of another host');
      }),
  },
  {
    id: 'S-65',
    run: async (ground) => {
      await expectForwarded(ground, () => ground.bot.ask('GET', ground.url('/public/x'), [`X-Debug: ${ground.placeholder}`]));
      insist(ground.origin.lastValues('x-debug').join() === ground.placeholder, 'a placeholder outside its place was changed');
    },
  },
  {
    id: 'S-66',
    run: async (ground) => {
      const fields = { token: `x${ground.placeholder}` };
      const code = await ground.refusalOf('secrets', { name: `${ground.name}-ph`, provider: 'selftest', kind: 'bearer', fields });
      insist(code === 'invalid_input', `a value with a placeholder was ${code === null ? 'stored' : `refused with ${code}`}`);
    },
  },
  {
    id: 'S-67',
    run: (ground) =>
      expectUntouched(ground, async () => {
        const unknown = `${ground.placeholder.slice(0, -4)}zzzz`;
        expectRefusal(
          await ground.bot.ask('GET', ground.url('/public/x'), [authorization(unknown)]),
          403,
          'an unknown placeholder',
        );
      }),
  },
  {
    id: 'S-68',
    run: async (ground) => {
      requireOrigin(ground);
      const { name, speaker } = await ground.agent();
      await ground.grant(name, 'second', { hosts: ['http://127.0.0.1:9'], allow_plaintext: true });
      const answer = await speaker.ask('GET', 'http://127.0.0.1:9/x?key=mine');
      expectRefusal(answer, 502, 'an origin that is not there');
      const rows = JSON.stringify(await ground.rows(name));
      for (const secret of everySecret(ground))
        insist(leaksOf(answer.text + rows, secret).length === 0, 'the refusal or its row shows the credential');
    },
  },
  {
    id: 'S-73',
    run: async (ground) => {
      const { name, speaker } = await ground.agent();
      const host = `http://${ground.origin.authority}`;
      await ground.grant(name, 'first', { hosts: [host], allow_plaintext: true, override: 'always' });
      await expectForwarded(ground, () => speaker.ask('GET', ground.url('/public/x'), [authorization('mine')]));
      insist(ground.origin.lastValues('authorization').join() === `Bearer ${ground.secret}`, 'the client’s own value went out');
      insist(
        (await ground.rows(name)).some(({ replaced }) => replaced),
        'the row does not say that a value was replaced',
      );
    },
  },
  {
    id: 'S-74',
    run: async (ground) => {
      const { name, speaker } = await ground.agent();
      const hosts = [`http://${ground.origin.authority}`];
      for (const which of ['first', 'second'] as const) await ground.grant(name, which, { hosts, allow_plaintext: true });
      await expectUntouched(ground, async () => {
        const answer = await speaker.ask('GET', ground.url('/public/x'));
        expectRefusal(answer, 403, 'two grants for one host');
        insist(answer.header('alter-error') === 'ambiguous_grant', `it was refused with ${answer.header('alter-error')}`);
      });
    },
  },
];
