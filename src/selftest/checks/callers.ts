/** S-75 … S-78, S-99, S-105: who may call, and what is written down about it. */
import { request } from 'node:http';
import { apiPath } from '../../api/client.ts';
import { type Check, insist, skipped } from '../check.ts';
import { expectForwarded, expectRefusal, expectUntouched, requireFreeNames, requireOrigin } from '../expect.ts';
import type { Ground } from '../ground.ts';
import { Speaker } from '../speaker.ts';

const heads = (ground: Ground): readonly string[] => [
  `CONNECT ${ground.host}:443 HTTP/1.1\r\nHost: ${ground.host}:443\r\n`,
  `GET ${ground.url('/public/x')} HTTP/1.1\r\nHost: ${ground.origin.authority}\r\n`,
];

/** A request of a page: the API must refuse it for its Origin. */
function askApiAsPage(socketPath: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath, path: '/v1/status', headers: { host: 'evil.invalid', origin: 'http://evil.invalid' } },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    asked.once('error', reject);
    asked.end();
  });
}

export const CALLER_CHECKS: readonly Check[] = [
  {
    id: 'S-75',
    run: async (ground) => {
      await expectUntouched(ground, async () => {
        for (const head of heads(ground)) expectRefusal(await ground.bot.send(`${head}\r\n`), 407, 'a request without a key');
      });
      const { name } = await ground.agent();
      await ground.grant(name, 'first', { hosts: [`http://${ground.origin.authority}`], allow_plaintext: true });
      const foreign = (process.getuid?.() ?? 0) + 1;
      const { key } = await ground.client.send<{ key: string }>(apiPath('agents', name, 'keys'), { bound_uid: foreign });
      await expectUntouched(ground, async () => {
        const thief = new Speaker(ground.proxy, ground.ca.pem, name, key);
        expectRefusal(await thief.ask('GET', ground.url('/public/x')), 403, 'the key of another user');
        thief.close();
      });
    },
  },
  {
    id: 'S-76',
    run: ({ status }) => {
      const { tcp } = status.proxy;
      if (tcp === null) return;
      insist(/^(127\.\d+\.\d+\.\d+|\[::1\]):\d+$/.test(tcp), `the proxy listens on ${tcp}`);
    },
  },
  {
    id: 'S-77',
    run: (ground) =>
      expectUntouched(ground, async () => {
        const wrong = Buffer.from('x:alter_key_agent_wrong').toString('base64');
        for (const head of heads(ground))
          expectRefusal(await ground.bot.send(`${head}Proxy-Authorization: Basic ${wrong}\r\n\r\n`), 407, 'a wrong key');
      }),
  },
  {
    id: 'S-78',
    run: async (ground) => {
      const status = await askApiAsPage(ground.client.socketPath);
      insist(status === 403, `a request with an Origin was answered ${status} by the API`);
    },
  },
  {
    id: 'S-99',
    run: async (ground) => {
      requireOrigin(ground);
      requireFreeNames(ground);
      const { name, speaker } = await ground.agent();
      const grant = await ground.grant(name, 'first', { hosts: [`http://${ground.origin.authority}`], allow_plaintext: true });
      const inside = await speaker.tunnel(ground.origin.authority);
      const ask = (): void => inside.write(`GET /public/x HTTP/1.1\r\nHost: ${ground.origin.authority}\r\n\r\n`);
      ask();
      insist((await inside.reader.next()).status === 200, 'the tunnel did not work before the revocation');
      await ground.client.send(apiPath('grants', grant.id, 'revoke'));
      const heard = ground.origin.arrivals.length;
      ask();
      // The tunnel may also have been closed under it.
      const status = await inside.reader.next().then(
        (answer) => answer.status,
        () => null,
      );
      insist(status === null || status === 403, `after the revocation the open tunnel was answered ${status}`);
      insist(ground.origin.arrivals.length === heard, 'a request reached the origin after the revocation');
      await ground.grant(name, 'first', { hosts: [`http://${ground.origin.authority}`], allow_plaintext: true });
      const other = await speaker.tunnel(ground.origin.authority);
      await ground.client.send(apiPath('agents', name, 'status'), { status: 'revoked' });
      other.write(`GET /public/x HTTP/1.1\r\nHost: ${ground.origin.authority}\r\n\r\n`);
      await other.reader.next().catch(() => null);
      insist(ground.origin.arrivals.length === heard, 'a request of a revoked agent reached the origin');
      expectRefusal(await speaker.ask('GET', ground.url('/public/x')), 407, 'the key of a revoked agent');
    },
  },
  {
    id: 'S-105',
    run: async (ground) => {
      const { name, speaker } = await ground.agent();
      await ground.grant(name, 'first', { hosts: [`http://${ground.origin.authority}`], allow_plaintext: true });
      const path = '/public/x?a="},{"outcome":"success%0A{"n":1}';
      await expectForwarded(ground, () => speaker.ask('GET', ground.url(path)));
      const rows = (await ground.rows(name)).filter((row) => row.path !== null);
      insist(rows.length === 1, `one request made ${rows.length} rows`);
      if (ground.status.audit.rows > 2_000_000)
        return skipped('the journal is too long to be verified in passing: `alterd audit verify`');
      const verified = await ground.client.send<{ ok: boolean; reason?: string }>(apiPath('audit', 'verify'));
      insist(verified.ok, `the journal does not verify: ${verified.reason}`);
    },
  },
];
