/** Speaks to the proxy as an agent would, or as an attacker with the agent's key would: bytes as they are given, over TCP, TLS inside a tunnel, or neither. */
import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type Answer, AnswerReader } from './answer.ts';
import { insist } from './check.ts';

/** Where the proxy listens: TCP, or its Unix socket. */
export type ProxyAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface Conversation {
  readonly socket: Socket;
  readonly reader: AnswerReader;
  write(text: string): void;
}

export class Speaker {
  readonly #proxy: ProxyAddress;
  readonly #caPem: string;
  readonly #sockets = new Set<Socket>();
  /** The header line with the agent's key. */
  readonly auth: string;

  constructor(proxy: ProxyAddress, caPem: string, name: string, key: string) {
    this.#proxy = proxy;
    this.#caPem = caPem;
    this.auth = `Proxy-Authorization: Basic ${Buffer.from(`${name}:${key}`).toString('base64')}`;
  }

  async open(): Promise<Conversation> {
    const socket = connectTcp({ ...this.#proxy, allowHalfOpen: true } as Parameters<typeof connectTcp>[0] & object);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    await once(socket, 'connect');
    return talk(socket);
  }

  /** One message, one answer. `@` on a line of its own stands for the key. */
  async send(text: string, method?: string): Promise<Answer> {
    const made = await this.open();
    made.write(text.replace(/^@\r\n/m, `${this.auth}\r\n`));
    const answer = await made.reader.next(method ?? text.slice(0, text.indexOf(' ')));
    made.socket.destroy();
    return answer;
  }

  /** A request in absolute form. */
  ask(method: string, url: string, headers: readonly string[] = [], body = ''): Promise<Answer> {
    const { host } = new URL(url);
    const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body, 'latin1')}`];
    return this.send(`${[`${method} ${url} HTTP/1.1`, `Host: ${host}`, '@', ...headers, ...length].join('\r\n')}\r\n\r\n${body}`);
  }

  connect(authority: string): Promise<Answer> {
    return this.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n@\r\n\r\n`, 'CONNECT');
  }

  /** An open tunnel. @throws CheckFailure when CONNECT is refused */
  async tunnel(authority: string): Promise<Conversation> {
    const made = await this.open();
    made.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${this.auth}\r\n\r\n`);
    const { status } = await made.reader.next('CONNECT');
    insist(status === 200, `CONNECT ${authority} was answered ${status}`);
    return made;
  }

  /** TLS inside a tunnel, trusted for `name` by the CA of the daemon alone. @throws when the certificate is not for that name */
  async secure(authority: string, name: string, sni = name): Promise<Conversation & { readonly socket: TLSSocket }> {
    const { socket } = await this.tunnel(authority);
    socket.removeAllListeners('data');
    const secure = connectTls({
      socket,
      ca: this.#caPem,
      ...(isIP(sni) === 0 ? { servername: sni } : { host: sni }),
      ALPNProtocols: ['http/1.1'],
      ...(sni === name ? {} : { checkServerIdentity: () => undefined }),
    });
    await once(secure, 'secureConnect');
    return { ...talk(secure), socket: secure };
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

const talk = (socket: Socket): Conversation => ({
  socket,
  reader: new AnswerReader(socket),
  write: (text) => void socket.write(Buffer.from(text, 'latin1')),
});
