/** When a host may go on: while its rows find their way to the vault. Events, and what has begun, are recorded in any case. */
import { expect, test } from 'vitest';
import type { AuditPort } from '../../../src/domain/audit.ts';
import type { Sinks } from '../../../src/sinks/sinks.ts';
import { UnsentGuard } from '../../../src/sinks/unsent-guard.ts';
import { closing, opening } from '../../integration/journal/samples.ts';

type Watched = Pick<Sinks, 'status' | 'isLost'>;

const sink = (name: string, kind: string, lag: number): Sinks['status'][number] => ({
  ...{ name, kind, lag, n: 0, delivered: 0, failures: 0, error: null, deliveredAt: null, skipped: 0 },
});

async function outcome(sinks: Watched | null): Promise<readonly [string, string]> {
  const journal = { open: async () => 'opened', record: async () => 'recorded' } as unknown as AuditPort;
  const guard = new UnsentGuard(journal, 10);
  if (sinks !== null) guard.watch(sinks);
  const opened = await guard.open(opening()).then(String, (error: { code: string }) => error.code);
  return [opened, await guard.record(opening(), closing())];
}

test.each<[string, Watched | null, string]>([
  ['before the sinks are there', null, 'opened'],
  ['fewer rows wait', { status: [sink('central-vault', 'vault', 9)], isLost: false }, 'opened'],
  ['as many rows wait as may', { status: [sink('central-vault', 'vault', 10)], isLost: false }, 'audit_unavailable'],
  ['another sink is behind', { status: [sink('file', 'file', 99), sink('central-vault', 'vault', 0)], isLost: false }, 'opened'],
  ['the thread that sends is gone', { status: [sink('central-vault', 'vault', 0)], isLost: true }, 'audit_unavailable'],
])('%s', async (_when, sinks, expected) => {
  expect(await outcome(sinks)).toEqual([expected, 'recorded']);
});
