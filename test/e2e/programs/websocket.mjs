// An agent with a WebSocket: `websocket.mjs URL`. ws makes its own sockets unless it is given an agent: the usual one goes through
// the proxy.
import https from 'node:https';
import WebSocket from 'ws';

const socket = new WebSocket(process.argv[2], ['chat'], { agent: https.globalAgent });
const messages = [];
socket.on('open', () => socket.send('hello'));
socket.on('message', (data, isBinary) => {
  messages.push(isBinary ? data.length : data.toString());
  if (messages.length === 1) socket.send(Buffer.alloc(300_000, 7));
  else socket.close(1000, 'done');
});
socket.on('close', (code, reason) =>
  process.stdout.write(JSON.stringify({ protocol: socket.protocol, messages, code, reason: reason.toString() })),
);
