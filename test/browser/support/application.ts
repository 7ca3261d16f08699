/**
 * An application on another origin, with Alter's widget as it is published: a page that opens it, and keeps what it was told.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';

export interface Application {
  readonly origin: string;
  close(): Promise<void>;
}

const require = createRequire(import.meta.url);
const WIDGET = join(dirname(require.resolve('@alter-ai/connect')), 'alter-connect.umd.js');

/** What the page keeps, as `window.heard`. */
export interface Heard {
  readonly what: 'success' | 'error' | 'exit' | 'message';
  readonly value: unknown;
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>An application</title>
<button id="connect">Connect</button>
<script src="/widget.js"></script>
<script>
  window.heard = [];
  addEventListener('message', (event) => window.heard.push({ what: 'message', value: event.data }));
  const note = (what) => (value) => window.heard.push({ what, value });
  // What the widget finds in its own address on a return, it tells only to its debug log: nobody can listen before it is made.
  const widget = AlterConnect.create({ debug: true });
  document.getElementById('connect').addEventListener('click', () => {
    const [token, baseURL] = window.session;
    widget.open({ token, baseURL, onSuccess: note('success'), onError: note('error'), onExit: note('exit') });
  });
</script>`;

export async function startApplication(): Promise<Application> {
  const server = createServer((request, response) => {
    const isWidget = request.url === '/widget.js';
    response.writeHead(200, { 'content-type': isWidget ? 'text/javascript' : 'text/html; charset=utf-8' });
    response.end(isWidget ? readFileSync(WIDGET) : PAGE);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
