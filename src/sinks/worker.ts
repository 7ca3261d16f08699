/** The thread of the sinks: everything that is slow about them happens here, away from the data plane and the journal. */
import { setPriority } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CursorFile } from './cursor.ts';
import { Feed } from './feed.ts';
import { FileSink } from './file-sink.ts';
import { httpSink } from './http-sinks.ts';
import type { FromSinks, SinkThreadData, ToSinks } from './messages.ts';
import { Outbound } from './outbound.ts';
import { Pump } from './pump.ts';
import type { Sink } from './sink.ts';
import { JournaldSink, syslogSink } from './syslog-sink.ts';
import { VAULT_SINK, VaultSink } from './vault-sink.ts';

/** The status is told at most this often: it crosses to the data-plane thread. */
const STATUS_MS = 500;
const SETTLE_MS = 20;
const NICENESS = 5;

function sinkOf(config: SinkThreadData['sinks'][number]['config'], outbound: Outbound): Sink {
  switch (config.kind) {
    case 'file':
      return new FileSink(config);
    case 'syslog':
      return syslogSink(config, outbound);
    case 'journald':
      return new JournaldSink(config);
    default:
      return httpSink(config, outbound);
  }
}

function start(port: MessagePort, data: SinkThreadData): void {
  const outbound = new Outbound(data.outbound);
  let isDue = false;
  const post = (message: FromSinks): void => port.postMessage(message);
  const tell = (): void => {
    isDue = false;
    post({ type: 'status', sinks: pumps.map((pump) => pump.status) });
  };
  const onChange = (): void => {
    if (isDue) return;
    isDue = true;
    setTimeout(tell, STATUS_MS);
  };
  const pumps = data.sinks.map(
    ({ config, feed, cursorFile }) =>
      new Pump({
        name: config.name,
        kind: config.kind,
        from: config.from,
        feed: new Feed(feed, onChange),
        cursor: new CursorFile(cursorFile),
        open: () => sinkOf(config, outbound),
        onChange,
      }),
  );
  if (data.vault !== null) {
    const sink = new VaultSink(data.vault);
    pumps.push(
      new Pump({
        ...{ name: VAULT_SINK, kind: 'vault', from: 'start', feed: new Feed(data.vault.feed, onChange), cursor: sink },
        ...{ open: () => sink, onChange },
      }),
    );
  }
  port.on('message', (_message: ToSinks) => {
    let quiet = 0;
    const timer = setInterval(() => {
      quiet = pumps.every((pump) => pump.isSettled) ? quiet + 1 : 0;
      // The last rows may still be on their way from the journal's thread.
      if (quiet < 3) return;
      clearInterval(timer);
      tell();
      post({ type: 'drained' });
    }, SETTLE_MS);
  });
  for (const pump of pumps) void pump.run();
  tell();
}

if (parentPort !== null) {
  // On Linux a priority belongs to a thread; elsewhere this would slow down the data plane too.
  if (process.platform === 'linux') {
    try {
      setPriority(NICENESS);
    } catch {
      // Only a courtesy.
    }
  }
  start(parentPort, workerData as SinkThreadData);
}
