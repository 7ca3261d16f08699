/** Two agents, two secrets, one host: 200 requests at once, over HTTP/1.1 and HTTP/2, and none gets the other's secret. */
import { createHash, randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AlterdProcess, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { makePki } from '../helpers/pki.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { answerJson, configFor, type Provider, readBody, startProvider } from './support/provider.ts';

const HOST = 'api.example.test';
const AGENTS = ['ada', 'bob'] as const;
const PER_CURL = 25;
/** Fewer sockets than requests, and answers larger than a socket takes at once: sockets are used again while agents are still reading. */
const AT_ONCE = 12;
const PADDING = 'x'.repeat(60_000);
const SECRETS = { ada: 'SEKRET-marker-of-ada', bob: 'SEKRET-marker-of-bob' } as const;
const pki = makePki();
const temporary = temporaryDirectory();
const environments = new Map<string, NodeJS.ProcessEnv>();
let provider: Provider;
let alterd: AlterdProcess;
let together = 0;
let mostTogether = 0;

beforeAll(async () => {
  provider = await startProvider(pki, {
    sites: {
      [HOST]: async (request, response) => {
        mostTogether = Math.max(mostTogether, ++together);
        const sha256 = createHash('sha256')
          .update(await readBody(request))
          .digest('hex');
        const agent = AGENTS.find((name) => request.headers.authorization === `Bearer ${SECRETS[name]}`) ?? null;
        // Answers leave in another order than the requests came.
        setTimeout(
          () => {
            together--;
            answerJson(response, 200, { agent, url: request.url, sha256, padding: PADDING });
          },
          randomInt(5, 40),
        );
      },
    },
  });
  alterd = await startAlterd({ config: configFor(pki, { [`${HOST}:443`]: provider.port }) });
  for (const agent of AGENTS) {
    const secret = `of-${agent}`;
    await alterd.ok(['agent', 'create', agent]);
    await alterd.ok(['secret', 'add', 'bearer', '--name', secret, '--host', HOST, '--token-stdin'], { input: SECRETS[agent] });
    await alterd.ok(['grant', 'create', secret, '--agent', agent, '--allow-private']);
    environments.set(agent, await alterd.clientEnv(agent));
  }
});
afterAll(async () => {
  await alterd?.stop();
  await provider?.close();
});

it('200 parallel requests of two agents: each answer is for its own request and its own secret', async () => {
  const dir = temporary();
  const rounds = AGENTS.flatMap((agent) =>
    ['--http1.1', '--http2'].flatMap((protocol) => ['GET', 'POST'].map((method) => ({ agent, protocol, method }))),
  );
  const ended = await Promise.all(
    rounds.map(async ({ agent, protocol, method }) => {
      const out = join(dir, `${agent}${protocol}${method}`);
      mkdirSync(out);
      const body = join(out, 'body');
      writeFileSync(body, `${agent} ${protocol} `.repeat(2_000));
      const target = `https://${HOST}/${agent}/${protocol.slice(2)}/${method}/[1-${PER_CURL}]`;
      const upload = method === 'POST' ? ['--data-binary', `@${body}`] : [];
      const args = ['-sS', '--parallel', '--parallel-max', String(AT_ONCE), protocol, ...upload, '-o', join(out, '#1'), target];
      return runProgram('curl', args, { env: environments.get(agent) ?? {} });
    }),
  );
  for (const end of ended) expect(end, end.stderr).toMatchObject({ status: 0 });

  const wrong: string[] = [];
  for (const { agent, protocol, method } of rounds) {
    const out = join(dir, `${agent}${protocol}${method}`);
    const sent = method === 'POST' ? readFileSync(join(out, 'body')) : Buffer.alloc(0);
    const sha256 = createHash('sha256').update(sent).digest('hex');
    for (let i = 1; i <= PER_CURL; i++) {
      const text = readFileSync(join(out, String(i)), 'utf8');
      const expected = { agent, url: `/${agent}/${protocol.slice(2)}/${method}/${i}`, sha256, padding: PADDING };
      if (text !== JSON.stringify(expected)) wrong.push(`${expected.url} got ${text.slice(0, 200)}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(provider.arrivals.length).toBe(200);
  expect(mostTogether, 'the requests really overlapped').toBeGreaterThan(20);
});

it('writes a row for each, under the agent and the secret that made it', async () => {
  const rows = (await alterd.ok(['audit', 'export', '--host', HOST]))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { agent: string; credential: string; path: string; status: number; outcome: string });
  expect(rows.length).toBe(200);
  expect(new Set(rows.map((row) => row.path)).size).toBe(200);
  for (const row of rows) {
    expect(row).toMatchObject({ credential: `of-${row.agent}`, status: 200, outcome: 'success' });
    expect(row.path.startsWith(`/${row.agent}/`)).toBe(true);
  }
  expect(await alterd.json(['audit', 'verify'])).toMatchObject({ ok: true });
});
