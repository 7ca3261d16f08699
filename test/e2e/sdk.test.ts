/**
 * Vendors' Node clients as agents use them, unmodified: streams, WebSocket and gRPC included. Each holds a placeholder or nothing;
 * S3 holds keys of its own and passes through untouched.
 */
import type { ServerResponse } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http2';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { type AlterdProcess, PROJECT, runProgram, startAlterd } from '../helpers/alterd-process.ts';
import { findClient } from '../helpers/clients.ts';
import { startHttp2Origin } from '../helpers/origin.ts';
import { makePki } from '../helpers/pki.ts';
import { serveGrpc } from './support/grpc-site.ts';
import { answerJson, configFor, type Provider, readBody, startProvider } from './support/provider.ts';

const GITHUB = 'github_pat_SEKRET-marker-sdk';
const OPENAI = 'sk-SEKRET-marker-sdk';
const ANTHROPIC = 'sk-ant-SEKRET-marker-sdk';
const pki = makePki();
const webSockets = new WebSocketServer({ noServer: true });
const stored = new Map<string, Buffer>();
let provider: Provider;
let grpc: { port: number; close: () => Promise<void> };
let grpcCalls: IncomingHttpHeaders[] = [];
let alterd: AlterdProcess;
let env: NodeJS.ProcessEnv;

/** Sends the first event, and the others when the client says that it has seen it. */
function streamUntilSeen(response: ServerResponse, first: string, rest: string): () => void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(first);
  return () => response.end(rest);
}

const sse = (data: unknown, event?: string): string =>
  `${event === undefined ? '' : `event: ${event}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const chunk = (content: string): string =>
  sse({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] });
const delta = (text: string): string =>
  sse({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }, 'content_block_delta');

beforeAll(async () => {
  let release = (): void => {};
  provider = await startProvider(pki, {
    sites: {
      'api.openai.com': async (request, response) => {
        if (request.headers.authorization !== `Bearer ${OPENAI}`) return answerJson(response, 401, { error: { message: 'no' } });
        if (request.url === '/seen') {
          release();
          return answerJson(response, 200, {});
        }
        await readBody(request);
        release = streamUntilSeen(response, chunk('first'), chunk(' second') + sse('[DONE]'));
      },
      'api.anthropic.com': async (request, response) => {
        if (request.headers['x-api-key'] !== ANTHROPIC) return answerJson(response, 401, { error: { message: 'no' } });
        if (request.url === '/seen') {
          release();
          return answerJson(response, 200, {});
        }
        await readBody(request);
        const start = sse(
          { type: 'message_start', message: { id: 'm', role: 'assistant', content: [], usage: {} } },
          'message_start',
        );
        release = streamUntilSeen(
          response,
          start + delta('first'),
          delta(' second') + sse({ type: 'message_stop' }, 'message_stop'),
        );
      },
      'api.github.com': (request, response) => {
        if (request.headers.authorization !== `Bearer ${GITHUB}`)
          return answerJson(response, 401, { message: 'Bad credentials' });
        if (request.url === '/user') return answerJson(response, 200, { login: 'octocat' });
        const isLast = request.url?.includes('page=2&') === true || request.url?.endsWith('&page=2') === true;
        const next = '<https://api.github.com/user/repos?per_page=2&page=2>; rel="next"';
        if (!isLast) response.setHeader('link', next);
        answerJson(response, 200, isLast ? [{ name: 'c' }] : [{ name: 'a' }, { name: 'b' }]);
      },
      's3.example.test': async (request, response) => {
        const key = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
        if (request.method === 'PUT') {
          stored.set(key, await readBody(request));
          response.setHeader('etag', '"e"').end();
        } else response.end(stored.get(key));
      },
    },
    upgrades: {
      'ws.example.test': (request, socket, head) => {
        if (request.headers.authorization !== 'Bearer SEKRET-marker-ws') return void socket.end('HTTP/1.1 401 No\r\n\r\n');
        webSockets.handleUpgrade(request, socket, head, (peer) => {
          peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }));
        });
      },
    },
  });
  grpc = await startHttp2Origin(pki, 'grpc.example.test', (server) => {
    grpcCalls = serveGrpc(server, 'Bearer SEKRET-marker-grpc');
  });
  const hosts = ['api.openai.com', 'api.anthropic.com', 'api.github.com', 'ws.example.test', 's3.example.test'];
  alterd = await startAlterd({
    config: configFor(
      pki,
      { ...Object.fromEntries(hosts.map((host) => [`${host}:443`, provider.port])), 'grpc.example.test:443': grpc.port },
      'allow_private = ["s3.example.test:443"]',
    ),
  });
  await alterd.ok(['agent', 'create', 'maker']);
  const add = (name: string, input: string, ...args: string[]) =>
    alterd.ok(['secret', 'add', ...args, '--name', name, '--token-stdin'], { input });
  await add('github', GITHUB, 'github');
  await add('openai', OPENAI, 'openai');
  await add('anthropic', ANTHROPIC, 'anthropic');
  await add('ws', 'SEKRET-marker-ws', 'bearer', '--host', 'ws.example.test');
  await add('grpc', 'SEKRET-marker-grpc', 'bearer', '--host', 'grpc.example.test');
  const grant = (name: string, ...args: string[]) =>
    alterd.ok(['grant', 'create', name, '--agent', 'maker', '--allow-private', ...args]);
  await grant('github', '--methods', 'GET');
  await grant('openai', '--methods', 'GET,POST');
  await grant('anthropic');
  await grant('ws', '--methods', 'GET');
  await grant('grpc', '--paths', '/echo.Echo/*');
  env = await alterd.clientEnv('maker');
});
afterAll(async () => {
  await alterd?.stop();
  webSockets.close();
  await Promise.all([provider?.close(), grpc?.close()]);
});

async function run<T>(file: string, ...args: string[]): Promise<T> {
  const end = await runProgram(process.execPath, [join(PROJECT, 'test', 'e2e', 'programs', file), ...args], { env });
  expect(end.status, end.stderr).toBe(0);
  expect(end.stdout + end.stderr).not.toContain('SEKRET');
  return JSON.parse(end.stdout) as T;
}

describe('a vendor’s client', () => {
  if (findClient('openai') !== null)
    it('openai streams a completion, part by part, with a placeholder as its key', async () => {
      const seen = await run<Record<string, string>>('openai.mjs');
      expect(seen).toMatchObject({ text: 'first second', refused: { status: 403, code: 'policy_violation' } });
      expect(seen.key).toMatch(/^sk-proj-[A-Za-z0-9]{48}$/);
    });

  if (findClient('@anthropic-ai/sdk') !== null)
    it('@anthropic-ai/sdk streams a message, part by part, and its own headers arrive', async () => {
      const seen = await run<Record<string, string>>('anthropic.mjs');
      expect(seen).toMatchObject({ text: 'first second' });
      expect(seen.key).toMatch(/^sk-ant-api03-/);
      const [call] = provider.at('api.anthropic.com');
      expect(call).toMatchObject({ method: 'POST', url: '/v1/messages', headers: { 'anthropic-version': expect.any(String) } });
    });

  if (findClient('@octokit/rest') !== null)
    it('@octokit/rest follows its pages', async () => {
      expect(await run('octokit.mjs')).toEqual({ login: 'octocat', repositories: ['a', 'b', 'c'] });
    });

  if (findClient('@aws-sdk/client-s3') !== null)
    it('@aws-sdk/client-s3 passes through a tunnel that alterd does not open, with its own signature', async () => {
      expect(await run('s3.mjs', 'https://s3.example.test', pki.caFile)).toEqual({ body: 'stored' });
      const calls = provider.at('s3.example.test');
      expect(calls.map((call) => call.method)).toEqual(['PUT', 'GET']);
      for (const call of calls) expect(call.headers.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=agents-own-key-id\//);
      const rows = await alterd.json<{ kind: string; host: string }[]>(['audit', 'list', '--host', 's3.example.test']);
      expect(new Set(rows.map((row) => row.kind))).toEqual(new Set(['tunnel']));
    });

  if (findClient('ws') !== null)
    it('ws talks both ways after a handshake that carried the secret', async () => {
      expect(await run('websocket.mjs', 'wss://ws.example.test/chat?room=1')).toEqual({
        protocol: 'chat',
        messages: ['hello', 300_000],
        code: 1000,
        reason: 'done',
      });
      const [call] = provider.at('ws.example.test');
      expect(call).toMatchObject({ url: '/chat?room=1', headers: { authorization: 'Bearer SEKRET-marker-ws' } });
    });

  if (findClient('@grpc/grpc-js') !== null)
    it('@grpc/grpc-js calls, streams and reads trailers over HTTP/2; another service is refused', async () => {
      expect(await run('grpc.mjs', 'grpc.example.test:443')).toEqual({
        said: { answer: 'hello', code: 0, trailers: { 'x-tail': '1 messages' } },
        counted: { messages: ['n0', 'n1', 'n2'], code: 0, trailers: { 'x-tail': '3 messages' } },
        refused: 7,
      });
      expect(grpcCalls.map((call) => call[':path'])).toEqual(['/echo.Echo/Say', '/echo.Echo/Count']);
      expect(grpcCalls.every((call) => call.te === 'trailers')).toBe(true);
    });
});
