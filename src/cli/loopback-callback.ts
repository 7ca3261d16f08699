/**
 * Waits on loopback for the browser to come back from the identity provider (RFC 8252, 7.3): one request on a port of the kernel's
 * choice, and then never again. What it brings goes to the daemon unread; the page that is shown says nothing of it.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AlterError } from '../domain/errors.ts';

export interface Callback {
  readonly redirectUri: string;
  /** The whole address that the browser came back to. @throws AlterError re_auth_required when nobody came in time */
  readonly came: Promise<string>;
  close(): void;
}

const WAIT_MS = 5 * 60_000;
const PATH = '/callback';
const PAGE =
  '<!doctype html><meta charset="utf-8"><title>alterd</title><p>You may close this window and go back to the terminal.</p>';

export async function awaitCallback(): Promise<Callback> {
  let arrive: (url: string) => void = () => {};
  let fail: (error: Error) => void = () => {};
  const came = new Promise<string>((resolve, reject) => {
    arrive = resolve;
    fail = reject;
  });
  came.catch(() => {});
  const server = createServer((request, response) => {
    const { url = '' } = request;
    // SECURITY: pages in the browser can reach this port too; only a navigation with an answer in it counts, and the daemon checks its state.
    const isAnswer = request.method === 'GET' && url.startsWith(`${PATH}?`);
    response.writeHead(isAnswer ? 200 : 404, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'",
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      connection: 'close',
    });
    response.end(isAnswer ? PAGE : '');
    if (isAnswer) arrive(`http://127.0.0.1${url}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const timer = setTimeout(
    () => fail(new AlterError('re_auth_required', { reason: 'the browser did not come back within five minutes' })),
    WAIT_MS,
  );
  return {
    redirectUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`,
    came,
    close: () => {
      clearTimeout(timer);
      server.close();
      server.closeIdleConnections();
    },
  };
}
