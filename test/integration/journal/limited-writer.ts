/** A process under a limit on file sizes: writes until the journal refuses, says what was acknowledged, and dies. */
import { writeSync } from 'node:fs';
import { AlterError } from '../../../src/domain/errors.ts';
import { openJournal } from '../../../src/journal/journal.ts';
import { closing, headKey, opening } from './samples.ts';

const journal = await openJournal({
  dir: process.argv[2] ?? '',
  sync: 'interval',
  segmentBytes: 256 * 1024,
  maxBacklogSegments: 3,
  headKey: headKey(),
  retentionDays: null,
  onFault: () => undefined,
});
const ids: string[] = [];
let code = 'none';
for (let i = 0; i < 20_000 && code === 'none'; i += 1) {
  try {
    const ticket = await journal.open(opening({ path: `/${i}` }));
    ticket.close(closing());
    ids.push(ticket.requestId);
    if (i % 50 === 0) await journal.stats();
  } catch (error) {
    code = error instanceof AlterError ? error.code : `${error}`;
  }
}
await new Promise((resolve) => setImmediate(resolve));
writeSync(1, JSON.stringify({ ids, code }));
process.kill(process.pid, 'SIGKILL');
