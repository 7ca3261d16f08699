/** S-51 … S-56: paths travel byte for byte, and none is read in two ways. */
import { type Check, insist } from '../check.ts';
import { expectForwarded, expectRefusal, expectUntouched, requireOrigin } from '../expect.ts';

const refused =
  (status: number, ...paths: readonly string[]): Check['run'] =>
  (ground) =>
    expectUntouched(ground, async () => {
      for (const path of paths) {
        const { authority } = ground.origin;
        const message = `GET http://${authority}${path} HTTP/1.1\r\nHost: ${authority}\r\n@\r\n\r\n`;
        expectRefusal(await ground.bot.send(message), status, path);
      }
    });

const verbatim =
  (path: string): Check['run'] =>
  async (ground) => {
    const { authority } = ground.origin;
    await expectForwarded(ground, () =>
      ground.bot.send(`GET http://${authority}${path} HTTP/1.1\r\nHost: ${authority}\r\n@\r\n\r\n`),
    );
    insist(ground.origin.arrivals.at(-1)?.url === path, `the origin got ${ground.origin.arrivals.at(-1)?.url}`);
  };

export const PATH_CHECKS: readonly Check[] = [
  {
    id: 'S-51',
    run: refused(400, '/public/%2e%2e/private', '/public/../private', '/public/%2fprivate', '/public//x', '/public/..;/x'),
  },
  { id: 'S-52', run: refused(403, '/publicx', '/publi', '/private/x') },
  { id: 'S-53', run: verbatim('/public/x?to=http://evil.invalid/%7E+a%20b') },
  {
    id: 'S-54',
    run: async (ground) => {
      requireOrigin(ground);
      const { authority, arrivals } = ground.second;
      const before = arrivals.length;
      await ground.bot.send(`GET http://${authority}/x?key&key=a&other=%7E+b HTTP/1.1\r\nHost: ${authority}\r\n@\r\n\r\n`);
      insist(arrivals.length === before + 1, 'the origin heard nothing');
      const query = (arrivals.at(-1)?.url ?? '').split('?')[1]?.split('&') ?? [];
      insist(
        query.filter((each) => /^key\b/.test(each)).join() === `key=${ground.secondSecret}`,
        'the parameter is not there exactly once',
      );
      insist(query.includes('other=%7E+b'), 'other bytes of the query were changed');
    },
  },
  { id: 'S-56', run: refused(403, '/x.git/info/refs?service=git-receive-pack') },
];
