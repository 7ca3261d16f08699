/** S-21 … S-32, S-83: where the bytes go. Nothing here leaves this machine: what is aimed at others has to be refused. */
import { createServer } from 'node:tls';
import { type Check, exposed, insist, skipped } from '../check.ts';
import { expectForwarded, expectRefusal, expectUntouched, requireFreeNames, requireOrigin } from '../expect.ts';
import type { Ground } from '../ground.ts';
import { selfSigned } from '../self-signed.ts';

const NEVER = ['169.254.169.254:80', '100.100.100.200:80', '[fd00:ec2::254]:80', '0.0.0.0:80', '[::]:80', '224.0.0.1:80'];
const PRIVATE = ['10.0.0.1:80', '172.16.0.1:80', '192.168.0.1:80', '[::1]:80', '[fe80::1]:80', '100.64.0.1:80'];
const EMBEDDED = ['[::ffff:169.254.169.254]:80', '[64:ff9b::a9fe:a9fe]:80', '[2002:a9fe:a9fe::]:80'];

async function notDialled(ground: Ground, authorities: readonly string[]): Promise<undefined> {
  for (const authority of authorities) expectRefusal(await ground.bot.connect(authority), 403, authority);
}

export const EGRESS_CHECKS: readonly Check[] = [
  {
    id: 'S-21',
    run: (ground) =>
      expectUntouched(ground, async () => {
        await notDialled(ground, NEVER);
        const opened = ground.setting('allow_private');
        // What an operator opened on purpose is no fault of the wall, but part of it.
        if (Array.isArray(opened) && opened.length === 0)
          await notDialled(ground, [...PRIVATE, `${ground.trap.host}:${ground.trap.port}`]);
      }),
  },
  { id: 'S-22', run: (ground) => notDialled(ground, EMBEDDED) },
  {
    id: 'S-26',
    run: async (ground) => {
      if (!('port' in ground.proxy)) return skipped('the proxy has no TCP listener');
      const own = `127.0.0.1:${ground.proxy.port}`;
      const { name, speaker } = await ground.agent();
      await ground.grant(name, 'first', { hosts: [`http://${own}`], allow_plaintext: true });
      expectRefusal(await speaker.ask('GET', `http://${own}/`), [403, 508], 'the address of the proxy itself');
    },
  },
  {
    id: 'S-27',
    run: async (ground) => {
      const to = `http://${ground.trap.host}:${ground.trap.port}/`;
      const answer = await expectForwarded(ground, () =>
        ground.bot.ask('GET', ground.url('/public/redirect'), [`X-Lead-To: ${to}`]),
      );
      insist(answer.status === 302 && answer.header('location') === to, `a redirect was answered ${answer.status}`);
      insist(ground.trap.contacts() === 0, 'the redirect was followed');
    },
  },
  {
    id: 'S-30',
    run: async (ground) => {
      const inside = await ground.bot.tunnel(`${ground.host}:443`);
      inside.write('SSH-2.0-selftest\r\n');
      await inside.reader.ended();
      inside.socket.destroy();
    },
  },
  {
    id: 'S-31',
    run: async (ground) => {
      const answer = await expectForwarded(ground, () => ground.bot.ask('GET', ground.url('/public/alt-svc')));
      insist(answer.header('alt-svc') === undefined, 'Alt-Svc reached the agent');
    },
  },
  {
    id: 'S-32',
    run: () =>
      exposed(
        'variables only route: a program that ignores them goes out directly unless the network stops it (systemd/lockdown.md)',
      ),
  },
  {
    id: 'S-83',
    run: async (ground) => {
      requireOrigin(ground);
      requireFreeNames(ground);
      const { key, cert } = selfSigned();
      let said = 0;
      const server = createServer({ key, cert }, (socket) => {
        socket.on('error', () => {});
        socket.on('data', () => said++);
      });
      server.on('tlsClientError', () => {});
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      try {
        const { port } = server.address() as { port: number };
        const { name, speaker } = await ground.agent();
        await ground.grant(name, 'first', { hosts: [`127.0.0.1:${port}`] });
        const inside = await speaker.secure(`127.0.0.1:${port}`, '127.0.0.1');
        inside.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
        expectRefusal(await inside.reader.next(), 502, 'an origin with a certificate that nobody vouches for');
        inside.socket.destroy();
        insist(said === 0, 'something was sent to an origin that is not trusted');
      } finally {
        server.close();
      }
    },
  },
];
