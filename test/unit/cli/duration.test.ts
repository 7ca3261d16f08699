import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDuration, parseFuture, parsePast } from '../../../src/cli/duration.ts';

const NOW = Date.parse('2031-01-31T12:00:00Z');

describe('parseDuration', () => {
  test.each(['', '30', '-1h', '1.5h', '1y', 'h', '1h 30m', '1h30', '0x10s', '9999999999s', ' 1h', '１h'])(
    'refuses %j',
    (text) => {
      expect(() => parseDuration(text, '--ttl')).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    },
  );

  test.each([
    ['30m', 1_800_000],
    ['12h', 43_200_000],
    ['7d', 604_800_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test('answers a whole number or throws, whatever it is given', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(Number.isSafeInteger(parseDuration(text))).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_input' });
        }
      }),
    );
  });
});

describe('moments', () => {
  test.each(['soon', '2031-01-31 12:00', '2031-13-01T00:00:00Z', '31.1.2031', '2031-01-31T12:00:00'])(
    'parseFuture refuses %j',
    (text) => {
      expect(() => parseFuture(text, '--expires', NOW)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    },
  );

  test.each(['2020-01-01T00:00:00Z', '0s', '2031-01-31T12:00:00Z'])(
    'parseFuture refuses %j, which is not in the future',
    (text) => {
      expect(() => parseFuture(text, '--expires', NOW)).toThrow(/past/);
    },
  );

  test('parseFuture adds a duration to now and takes times with an offset', () => {
    expect(parseFuture('1d', '--expires', NOW)).toBe('2031-02-01T12:00:00.000Z');
    expect(parseFuture('2031-02-01T12:00:00+02:00', '--expires', NOW)).toBe('2031-02-01T10:00:00.000Z');
  });

  test('parsePast takes a duration back from now', () => {
    expect(parsePast('1h', '--since', NOW)).toBe('2031-01-31T11:00:00.000Z');
    expect(parsePast('2031-01-01', '--since', NOW)).toBe('2031-01-01T00:00:00.000Z');
  });
});
