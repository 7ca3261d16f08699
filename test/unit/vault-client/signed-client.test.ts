/** Calls over a way that breaks where nobody is told: behind the head of an answer. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { makePki } from '../../helpers/pki.ts';

const pki = makePki();
const context = pki.contextFor('127.0.0.1');
const server = createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  if (request.url === '/whole') response.end('{"ok":true}');
  else response.write('{"ok":');
  // Later than the client's patience with a call.
  if (request.url === '/stream') setTimeout(() => response.end('true}'), 400);
});
(server as unknown as { _sharedCreds: unknown })._sharedCreds = context;
let client: SignedClient;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = new SignedClient({ url, ca: pki.ca.certPem, identity: null, timeoutMs: 250 });
});
afterAll(() => {
  client.close();
  server.closeAllConnections();
  server.close();
});

test('an answer that stops in its middle is no answer, and the next call gets one', async () => {
  await expect(client.call('GET', '/half')).rejects.toMatchObject({ code: 'vault_unavailable' });
  expect((await client.call('GET', '/whole')).body).toEqual({ ok: true });
});

test('a stream may be silent for longer', async () => {
  const response = await client.stream('/stream');
  expect(await text(response)).toBe('{"ok":true}');
});
