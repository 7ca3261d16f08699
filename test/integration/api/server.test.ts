import { spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openClient } from '../../../src/api/client.ts';
import { type ApiListener, serveApi } from '../../../src/api/server.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const answer =
  (status: number, text: string, type = 'application/json'): ApiListener =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': type }).end(text);
  };

/** A socket file that nothing listens on, as a killed daemon leaves it. */
function staleSocket(path: string): void {
  const script = `const s = require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  expect(statSync(path).isSocket()).toBe(true);
}

describe('serveApi', () => {
  test('does not take a socket on which something answers', async () => {
    const path = join(directory(), 'api.sock');
    const first = await serveApi(answer(200, '{"first":true}'), path);
    await expect(serveApi(answer(200, '{}'), path)).rejects.toMatchObject({ code: 'conflict' });
    expect(await openClient(path).read('/')).toEqual({ first: true });
    await first.close();
    expect(existsSync(path)).toBe(false);
  });

  test('does not take a socket of a listener that speaks no HTTP', async () => {
    const path = join(directory(), 'api.sock');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await expect(serveApi(answer(200, '{}'), path)).rejects.toMatchObject({ code: 'conflict' });
    await new Promise((resolve) => other.close(resolve));
  });

  test('does not remove a file that is no socket', async () => {
    const path = join(directory(), 'api.sock');
    writeFileSync(path, 'precious');
    await expect(serveApi(answer(200, '{}'), path)).rejects.toMatchObject({ code: 'conflict' });
    expect(statSync(path).size).toBe(8);
  });

  test('takes over what a killed daemon left, open to its owner alone', async () => {
    const path = join(directory(), 'api.sock');
    staleSocket(path);
    const server = await serveApi(answer(200, '{"new":true}'), path);
    expect(await openClient(path).read('/')).toEqual({ new: true });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await server.close();
  });

  test('closing ends answers that would never end', async () => {
    const path = join(directory(), 'api.sock');
    const server = await serveApi((_request, response) => void response.writeHead(200).write('\n'), path);
    const lines = await openClient(path).lines('/');
    const outcome = (async () => {
      for await (const _ of lines) expect.unreachable();
    })().then(
      () => 'ended',
      () => 'ended',
    );
    await server.close();
    expect(await outcome).toBe('ended');
  });
});

describe('the client', () => {
  const against = async <T>(listener: ApiListener, use: (path: string) => Promise<T>): Promise<T> => {
    const path = join(directory(), 'api.sock');
    const server = await serveApi(listener, path);
    try {
      return await use(path);
    } finally {
      await server.close();
    }
  };

  test('says how to start a daemon that is not there', async () => {
    await expect(openClient(join(directory(), 'none.sock')).read('/v1/status')).rejects.toMatchObject({
      code: 'vault_unavailable',
      hint: expect.stringMatching(/alterd start.*npm start/),
    });
    const stale = join(directory(), 'stale.sock');
    staleSocket(stale);
    await expect(openClient(stale).read('/v1/status')).rejects.toMatchObject({ code: 'vault_unavailable' });
  });

  test('makes the same error again, with details and hint', async () => {
    const problem = {
      type: 'urn:alter:error:conflict',
      title: 'Conflict',
      status: 409,
      detail: 'x.',
      error: 'conflict',
      hint: 'Do y.',
      reason: 'x',
    };
    const caught = await against(answer(409, JSON.stringify(problem), 'application/problem+json'), (path) =>
      openClient(path)
        .send('/v1/agents', {})
        .catch((error: unknown) => error),
    );
    expect(caught).toMatchObject({
      name: 'ConflictError',
      code: 'conflict',
      message: 'x.',
      hint: 'Do y.',
      details: { reason: 'x' },
    });
  });

  test.each<[string, ApiListener]>([
    ['an answer that is no JSON', answer(200, '<html>')],
    ['a refusal that is no problem', answer(500, '{"oops":1}')],
    ['a code of a later version', answer(418, '{"error":"teapot"}')],
    [
      'a broken answer',
      (_request, response) => void response.writeHead(200, { 'content-length': '10' }).write('x', () => response.destroy()),
    ],
    ['no answer', (_request, response) => void response.destroy()],
  ])('takes %s for a vault that can not be used', async (_name, listener) => {
    await against(listener, (path) => expect(openClient(path).read('/')).rejects.toMatchObject({ code: 'vault_unavailable' }));
  });
});
