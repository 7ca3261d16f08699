/** Durations and moments as people write them: `30m`, `1h30m`, `7d`, or a time in ISO 8601. */
import { AlterError } from '../domain/errors.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds. A bare number is refused: nobody can tell seconds from milliseconds. @throws AlterError invalid_input */
export function parseDuration(text: string, what = 'a duration'): number {
  const parts = [...text.matchAll(/(\d{1,9})(ms|[smhdw])/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text) {
    throw invalid(`${what} is written like 30m, 12h or 7d, not ${JSON.stringify(text)}`);
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0);
}

/** A moment to come, as ISO 8601: in that time from now, or at that time. @throws AlterError invalid_input */
export function parseFuture(text: string, what: string, now = Date.now()): string {
  const at = isDurationLike(text) ? now + parseDuration(text, what) : parseInstant(text, what);
  if (at <= now) throw invalid(`${what} lies in the past: ${text}`);
  return new Date(at).toISOString();
}

/** A moment gone by, as ISO 8601: that long ago, or at that time. @throws AlterError invalid_input */
export function parsePast(text: string, what: string, now = Date.now()): string {
  const at = isDurationLike(text) ? now - parseDuration(text, what) : parseInstant(text, what);
  return new Date(at).toISOString();
}

const isDurationLike = (text: string): boolean => /^(\d+(ms|[smhdw]))+$/.test(text);

function parseInstant(text: string, what: string): number {
  const isIso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text);
  const at = isIso ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw invalid(`${what} is a duration like 7d or a time like 2031-01-31T12:00:00Z, not ${JSON.stringify(text)}`);
  return at;
}

const invalid = (problem: string): AlterError => new AlterError('invalid_input', { problems: [problem] });
