/** A process that writes audit entries as fast as it can and says what was acknowledged, until it is killed. */
import { generateKeyPairSync } from 'node:crypto';
import { writeSync } from 'node:fs';
import { openJournal } from '../../../src/journal/journal.ts';
import { captured, closing, headKey, opening } from './samples.ts';

const [, , dir = '', sync = 'interval'] = process.argv;
const journal = await openJournal({
  dir,
  sync: sync === 'before_egress' ? sync : 'interval',
  segmentBytes: 256 * 1024,
  headKey: headKey(),
  signingKey: generateKeyPairSync('ed25519').privateKey,
  retentionDays: null,
  onFault: () => undefined,
});
/** The pipe may be full for a moment: nothing of what was acknowledged may go untold. */
function tell(line: string): void {
  const bytes = Buffer.from(line);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(1, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

const kept = await journal.open(opening({ kind: 'tunnel', path: null }));
tell(`opened ${kept.requestId}\n`);
for (let i = 0; ; i += 1) {
  const batch = 1 + (i % 40);
  const results = await Promise.allSettled(
    Array.from({ length: batch }, (_, k) => journal.open(opening({ path: `/${i}/${k}` }))),
  );
  const tickets = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (tickets.length === 0) {
    // Refused because the worker is behind: let the event loop turn.
    await new Promise((resolve) => setImmediate(resolve));
    continue;
  }
  tell(`opened ${tickets.map((t) => t.requestId).join(' ')}\n`);
  const done = tickets.filter((_, k) => k % 7 !== 3);
  // With bodies, the rows that speak of them must never be without them.
  const bodies = sync.endsWith('with bodies') ? captured('{"a":1}', 'x'.repeat(300)) : null;
  for (const ticket of done) ticket.close(closing({ captured: bodies }));
  if (done.length > 0) tell(`closed ${done.map((t) => t.requestId).join(' ')}\n`);
}
