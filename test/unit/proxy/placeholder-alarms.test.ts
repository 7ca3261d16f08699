/** How often one agent can raise the alarm, and that a journal that is broken does not keep it quiet. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AuditOpening } from '../../../src/domain/audit.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import type { PlaceholderAlarm } from '../../../src/domain/placeholder-alarm.ts';
import { compileAuthority } from '../../../src/policy/resolve.ts';
import { noProgress } from '../../../src/proxy/admission.ts';
import { PlaceholderAlarms } from '../../../src/proxy/placeholder-alarms.ts';
import type { Route } from '../../../src/proxy/route.ts';
import { authorityOf, callerOf, grantOf, NOW } from '../policy/fixtures.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['Date'], now: NOW }));
afterEach(() => void vi.useRealTimers());

const refused = new AlterError('grant_revoked', { grant_id: 'old' });
const ended = { status: 'revoked', revokedAt: NOW - 1 } as const;
const compiled = compileAuthority(
  authorityOf(grantOf('old', 'bot', 'api.good.test', ended), grantOf('older', 'bot', 'api.good.test', ended)),
);

function stage(record: (opening: AuditOpening) => Promise<string>) {
  const raised: PlaceholderAlarm[] = [];
  const logged: string[] = [];
  const alarms = new PlaceholderAlarms();
  alarms.onRaise = (alarm) => raised.push(alarm);
  const noted = (_fields: object, message: string): void => void logged.push(message);
  const plane = {
    audit: { record, open: () => Promise.reject(new Error('not asked')) },
    log: { debug: noted, info: noted, warn: noted, error: noted },
    authority: { compiled },
    policies: { version: 1 },
  } as unknown as Parameters<PlaceholderAlarms['look']>[0];
  const use = (placeholder: string, agent = 'bot'): Promise<void> => {
    const caller = {
      identity: callerOf(agent),
      peer: { uid: null, pid: null, executable: null, address: null },
      label: { text: '' },
    };
    const destination = { scheme: 'https', host: 'api.good.test', port: 443 };
    return alarms.look(plane, { caller, destination } as unknown as Route, { ...noProgress(), placeholder }, refused, Date.now());
  };
  return { raised, logged, use };
}

it('one alarm a minute for an agent and a placeholder; the next one says how often it was used', async () => {
  const { raised, use } = stage(async () => 'req_1');
  for (let n = 0; n < 5; n++) await use('alter_ph_old');
  await use('alter_ph_older');
  await use('alter_ph_old', 'rival');
  expect(raised.map(({ agent, grantId, uses }) => `${agent} ${grantId} ${uses}`)).toEqual([
    'name-of-bot old 1',
    'name-of-bot older 1',
    'name-of-rival old 1',
  ]);
  vi.setSystemTime(NOW + 59_999);
  await use('alter_ph_old');
  expect(raised).toHaveLength(3);
  vi.setSystemTime(NOW + 60_000);
  await use('alter_ph_old');
  expect(raised.at(-1)).toMatchObject({ agent: 'name-of-bot', grantId: 'old', uses: 6 });
});

it('a journal that can not be written keeps it out of neither log nor notice', async () => {
  const { raised, logged, use } = stage(() =>
    Promise.reject(new AlterError('audit_unavailable', { reason: 'the disk is full' })),
  );
  await use('alter_ph_old');
  expect([raised.length, logged]).toEqual([1, ['a retired placeholder was used']]);
});
