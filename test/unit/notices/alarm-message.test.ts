import { createSecretKey } from 'node:crypto';
import { expect, it } from 'vitest';
import type { PlaceholderAlarm } from '../../../src/domain/placeholder-alarm.ts';
import { alarmMessage, alarmRequest } from '../../../src/notices/alarm-message.ts';

const alarm = (more: Partial<PlaceholderAlarm> = {}): PlaceholderAlarm => ({
  ...{
    requestId: 'req_1',
    at: 1,
    why: 'removed',
    agent: 'bot',
    userId: null,
    grantId: 'g1',
    grantLabel: '',
    providerId: 'github',
  },
  ...{ retiredAt: 0, host: 'api.good.test', uses: 1 },
  ...more,
});
const textOf = (a: PlaceholderAlarm): string => JSON.stringify(alarmMessage(a));

it('names can not call a channel, format themselves or lead anywhere', () => {
  const text = textOf(alarm({ agent: '<!channel> @here', grantLabel: 'https://evil.test', host: 'a&b' }));
  for (const mark of ['<', '@', '://', 'a&b']) expect(text).not.toContain(mark);
  expect(alarmMessage(alarm())).toMatchObject({ mrkdwn: false, text: 'A retired placeholder was used. alterd audit show req_1' });
});

it('a foreign one is told as such, and how often', () => {
  const text = textOf(alarm({ why: 'foreign', retiredAt: null, uses: 4, requestId: '' }));
  expect(text).toContain(
    "The placeholder of another agent's grant was used. alterd audit list --action placeholder.foreign_used",
  );
  expect(text).toContain('Uses since the last alarm: 4');
});

it('what is posted is signed, and has one name for all its attempts', () => {
  const key = createSecretKey(Buffer.from('SEKRET-marker-key'));
  const [first, second] = [1_000, 9_000].map((now) => alarmRequest(key, alarm(), now));
  expect(first?.headers['Alter-Delivery']).toBe('req_1-placeholder.retired_used');
  expect(second?.headers['Alter-Delivery']).toBe(first?.headers['Alter-Delivery']);
  expect(second?.headers['Alter-Signature']).not.toBe(first?.headers['Alter-Signature']);
  expect(JSON.parse(String(first?.body))).toMatchObject({
    event: 'placeholder.retired_used',
    alarm: { why: 'removed', host: 'api.good.test' },
  });
});
