/**
 * A way over loopback that a test breaks: bytes pass, are held up, end in a FIN or a reset, or vanish while both ends believe that the
 * other is there. It understands nothing of what it carries but what a `tap` reads.
 */
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';

/** `half-open` what is sent vanishes, and so does the end of the other side · `slow` every piece comes late. */
export const FAULTS = ['cut', 'reset', 'slow', 'half-open'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Way {
  /** From here on neither side hears of the other. */
  vanish(): void;
  /** Both sides get a reset. */
  reset(): void;
  /** What the server says next is not told any more: in its place the client gets a reset. */
  loseAnswer(then?: () => void): void;
}

export interface FaultProxyOptions {
  /** Where a new connection leads; null: nowhere. */
  readonly target: () => NetConnectOpts | null;
  /** Sees what a client sends before it goes on; false keeps it from going on, a promise holds it, and all that comes after it, up. */
  readonly tap?: ((bytes: Buffer, way: Way) => boolean | Promise<boolean>) | undefined;
  readonly slowMs?: number | undefined;
}

export interface FaultProxy {
  readonly port: number;
  /** How many connections are open at the clients' side. */
  readonly size: number;
  /** For connections that are there and those that come; null heals. What has vanished stays so until its ends notice. */
  set(fault: Fault | null): void;
  /** Only for connections that are there, each by this chance. */
  strike(fault: 'reset' | 'half-open', isHit: () => boolean): void;
  close(): Promise<void>;
}

interface Pair extends Way {
  end(): void;
  /** Both sockets are closed. */
  onGone: () => void;
}

export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const pairs = new Set<Pair>();
  let fault: Fault | null = null;
  const server: Server = createServer({ allowHalfOpen: false }, (client) => {
    client.on('error', () => {});
    if (fault === 'cut') return void client.destroy();
    if (fault === 'reset') return void client.resetAndDestroy();
    const target = options.target();
    if (target === null) return void client.resetAndDestroy();
    const pair = join(client, connect(target), () => (fault === 'slow' ? (options.slowMs ?? 150) : 0), options.tap);
    pairs.add(pair);
    pair.onGone = () => pairs.delete(pair);
    if (fault === 'half-open') pair.vanish();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get size() {
      return pairs.size;
    },
    set: (next) => {
      fault = next;
      for (const pair of [...pairs])
        if (next === 'cut') pair.end();
        else if (next === 'reset') pair.reset();
        else if (next === 'half-open') pair.vanish();
    },
    strike: (kind, isHit) => {
      for (const pair of [...pairs]) if (isHit()) kind === 'reset' ? pair.reset() : pair.vanish();
    },
    close: () =>
      new Promise((resolve) => {
        for (const pair of [...pairs]) pair.end();
        server.close(() => resolve());
      }),
  };
}

function join(client: Socket, server: Socket, delayMs: () => number, tap: FaultProxyOptions['tap']): Pair {
  let hasVanished = false;
  let onLost: (() => void) | null = null;
  const timers = new Set<NodeJS.Timeout>();
  const both = [client, server];
  const end = (): void => {
    for (const timer of timers) clearTimeout(timer);
    for (const socket of both) socket.destroy();
  };
  const reset = (): void => {
    for (const timer of timers) clearTimeout(timer);
    client.resetAndDestroy();
    // It may be a Unix socket, which knows no reset.
    server.destroy();
  };
  const pair: Pair = {
    vanish: () => {
      hasVanished = true;
    },
    reset,
    loseAnswer: (then = () => {}) => {
      onLost = then;
    },
    end,
    onGone: () => {},
  };
  let left = both.length;
  for (const socket of both) socket.once('close', () => --left === 0 && pair.onGone());
  const carry = (from: Socket, to: Socket, look: ((bytes: Buffer) => boolean | Promise<boolean>) | null): void => {
    let lastAt = 0;
    from.on('error', () => {});
    from.on('data', (bytes: Buffer) => {
      if (hasVanished) return;
      const mayPass = look === null || look(bytes);
      if (mayPass === true) return pass(bytes);
      if (mayPass === false) return;
      from.pause();
      void mayPass.then((may) => {
        if (may) pass(bytes);
        from.resume();
      });
    });
    const pass = (bytes: Buffer): void => {
      if (hasVanished) return;
      const now = performance.now();
      // In order, also where the delay has just ended.
      const at = Math.max(lastAt, now + delayMs());
      if (at <= now) return void to.write(bytes);
      lastAt = at;
      const timer = setTimeout(() => {
        timers.delete(timer);
        if (!hasVanished) to.write(bytes);
      }, at - now);
      timers.add(timer);
    };
    from.once('close', () => {
      // Nobody tells the other one: that is what half-open means. The socket itself ends when its own side gives up.
      if (!hasVanished) to.destroy();
    });
  };
  carry(client, server, tap === undefined ? null : (bytes) => tap(bytes, pair));
  carry(server, client, () => {
    if (onLost === null) return true;
    reset();
    onLost();
    return false;
  });
  return pair;
}
