import { describe, expect, it, test } from 'vitest';
import { compileTimeWindow, isKnownZone } from '../../../src/policy/time-window.ts';

const at = (iso: string): number => Date.parse(iso);
const MON_TO_FRI = [1, 2, 3, 4, 5];

describe('zones', () => {
  it.each(['Mars/Olympus', '', '+02:00', 'UTC+2', 'europe/berlin/', '../etc/passwd', 'Europe/Berlin '])('%j is none', (zone) => {
    expect(isKnownZone(zone)).toBe(false);
  });
  it.each(['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Asia/Kathmandu', 'Etc/GMT-5'])('%j is one', (zone) => {
    expect(isKnownZone(zone)).toBe(true);
  });
});

const berlin = compileTimeWindow({ zone: 'Europe/Berlin', weekdays: MON_TO_FRI, fromMinute: 9 * 60, toMinute: 17 * 60 });
const night = compileTimeWindow({ zone: 'Europe/Berlin', weekdays: [5], fromMinute: 22 * 60, toMinute: 6 * 60 });
const gap = compileTimeWindow({ zone: 'Europe/Berlin', weekdays: null, fromMinute: 2 * 60, toMinute: 3 * 60 });
const kathmandu = compileTimeWindow({ zone: 'Asia/Kathmandu', weekdays: [4], fromMinute: 0, toMinute: 24 * 60 });

it.each<[what: string, window: (now: number) => boolean, iso: string, inside: boolean]>([
  ['winter, a minute before', berlin, '2026-01-14T07:59:59Z', false],
  ['winter, begins', berlin, '2026-01-14T08:00:00Z', true],
  ['winter, ends', berlin, '2026-01-14T16:00:00Z', false],
  ['summer, begins an hour earlier', berlin, '2026-07-15T07:00:00Z', true],
  ['summer, ends an hour earlier', berlin, '2026-07-15T15:00:00Z', false],
  ['the Friday before the clocks change', berlin, '2026-03-27T08:30:00Z', true],
  ['the Monday after', berlin, '2026-03-30T07:30:00Z', true],
  ['Saturday', berlin, '2026-01-17T10:00:00Z', false],
  ['Friday night', night, '2026-01-16T21:30:00Z', true],
  ['the Saturday morning behind it', night, '2026-01-17T04:30:00Z', true],
  ['the Friday morning before it', night, '2026-01-16T04:30:00Z', false],
  ['the night in which an hour is missing: before', gap, '2026-03-29T00:59:00Z', false],
  ['the night in which an hour is missing: after', gap, '2026-03-29T01:00:00Z', false],
  ['an hour that comes twice: first', gap, '2026-10-25T00:30:00Z', true],
  ['an hour that comes twice: second', gap, '2026-10-25T01:30:00Z', true],
  ['an hour that comes twice: over', gap, '2026-10-25T02:00:00Z', false],
  ['quarters of hours', kathmandu, '2026-01-14T18:14:59Z', false],
  ['quarters of hours, Thursday there', kathmandu, '2026-01-14T18:15:00Z', true],
])('%s', (_what, window, iso, inside) => {
  expect(window(at(iso))).toBe(inside);
});

test('every minute of a year agrees with what the zone says', () => {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: 'America/New_York',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const window = compileTimeWindow({ zone: 'America/New_York', weekdays: null, fromMinute: 60, toMinute: 180 });
  for (let now = at('2026-03-07T00:00:00Z'); now < at('2026-03-10T00:00:00Z'); now += 7 * 60_000) {
    const [hour] = format.format(now).split(':').map(Number);
    expect(window(now)).toBe(hour === 1 || hour === 2);
  }
});
