/**
 * Local time in an IANA zone, for rules about hours and days. The zone's own rules decide, so daylight saving needs nothing
 * here: an hour that a zone skips never comes, one that it repeats comes twice.
 */
import type { TimeWindow } from '../domain/policy.ts';

const MINUTE_MS = 60_000;
const DAYS: Readonly<Record<string, number>> = { Sun: 0, Mon: 1, Tue: 2, Wed: 3, Thu: 4, Fri: 5, Sat: 6 };

interface LocalTime {
  readonly weekday: number;
  readonly minute: number;
}

class ZoneClock {
  readonly #format: Intl.DateTimeFormat;
  /** One minute at a time: asking Intl costs microseconds, and each minute of a zone has one local time. */
  #minuteAt = Number.NaN;
  #local: LocalTime = { weekday: 0, minute: 0 };

  /** @throws RangeError for a zone that is not known */
  constructor(zone: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
  }

  at(now: number): LocalTime {
    const minuteAt = Math.floor(now / MINUTE_MS);
    if (minuteAt !== this.#minuteAt) {
      const parts = new Map(this.#format.formatToParts(minuteAt * MINUTE_MS).map(({ type, value }) => [type, value]));
      this.#local = {
        weekday: DAYS[parts.get('weekday') ?? ''] ?? Number.NaN,
        minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
      };
      this.#minuteAt = minuteAt;
    }
    return this.#local;
  }
}

const clocks = new Map<string, ZoneClock>();

/** Names only: offsets such as `+02:00` know no daylight saving, and are a mistake where a zone is meant. */
export function isKnownZone(zone: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(zone)) return false;
  try {
    return clockOf(zone) !== null;
  } catch {
    return false;
  }
}

function clockOf(zone: string): ZoneClock {
  let clock = clocks.get(zone);
  if (clock === undefined) {
    clock = new ZoneClock(zone);
    clocks.set(zone, clock);
  }
  return clock;
}

/** @throws RangeError for a zone that is not known */
export function compileTimeWindow(window: TimeWindow): (now: number) => boolean {
  const clock = clockOf(window.zone);
  const days = window.weekdays === null ? null : new Set(window.weekdays);
  const { fromMinute, toMinute } = window;
  const isDay = (weekday: number): boolean => days === null || days.has(weekday);
  if (fromMinute < toMinute)
    return (now) => {
      const { weekday, minute } = clock.at(now);
      return minute >= fromMinute && minute < toMinute && isDay(weekday);
    };
  return (now) => {
    const { weekday, minute } = clock.at(now);
    return (minute >= fromMinute && isDay(weekday)) || (minute < toMinute && isDay((weekday + 6) % 7));
  };
}
