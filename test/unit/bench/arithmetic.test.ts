/** The arithmetic and the command line of the benchmark. Nothing is timed here. */
import { describe, expect, it, test } from 'vitest';
import { addedRatioByRound, median, medianOf, percentile, ratioByRound, type Sample } from '../../bench/arithmetic.ts';
import { judge } from '../../bench/goals.ts';
import { TARGET_NAMES, TEST_NAMES, VAULT_NAMES } from '../../bench/names.ts';
import { parseOptions } from '../../bench/options.ts';
import { number, reportOf } from '../../bench/report.ts';

const sample = (target: string, round: number, cpu: number, test = 'ka16'): Sample => ({ test, target, round, values: { cpu } });

describe('median and percentile', () => {
  test.each([
    [[], Number.NaN],
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
    [[Number.NaN, 2, 4], 3],
  ])('median of %j is %d', (values, expected) => expect(median(values)).toBe(expected));

  test.each([
    [[], 50, Number.NaN],
    [[7], 99, 7],
    [[1, 2, 3, 4], 50, 2],
    [[4, 3, 2, 1], 75, 3],
    [Array.from({ length: 100 }, (_, i) => i + 1), 99, 99],
    [[1, 2, 3], 50, 2],
    [[1, 2], 0, 1],
    [[1, 2], 100, 2],
  ])('of %j the %dth percentile is %d', (values, percent, expected) => expect(percentile(values, percent)).toBe(expected));
});

describe('ratios', () => {
  const us = { test: 'ka16', target: 'alterd', key: 'cpu' };
  const them = { test: 'ka16', target: 'nginx', key: 'cpu' };

  it('are taken within each round, then the median is taken: a slow round of both changes nothing', () => {
    const samples = [
      ...[sample('alterd', 0, 15), sample('nginx', 0, 10)],
      ...[sample('alterd', 1, 150), sample('nginx', 1, 100)],
      ...[sample('nginx', 2, 20), sample('alterd', 2, 34)],
    ];
    expect(ratioByRound(samples, us, them)).toBe(1.5);
    expect(medianOf(samples, 'ka16', 'alterd', 'cpu')).toBe(34);
  });

  it('leave out rounds in which one of the two failed', () => {
    const failed: Sample = { test: 'ka16', target: 'nginx', round: 0, values: {}, failed: 'reset' };
    expect(ratioByRound([sample('alterd', 0, 15), failed], us, them)).toBeNaN();
    expect(ratioByRound([sample('alterd', 0, 15), failed, sample('alterd', 1, 30), sample('nginx', 1, 10)], us, them)).toBe(3);
  });

  it('of what is added to a base', () => {
    const figure = (target: string) => ({ test: 'ka16', target, key: 'cpu' });
    const samples = [sample('direct', 0, 100), sample('blind-node', 0, 200), sample('alterd', 0, 250)];
    expect(addedRatioByRound(samples, figure('alterd'), figure('blind-node'), figure('direct'))).toBe(1.5);
    const faster = [sample('direct', 0, 100), sample('blind-node', 0, 90), sample('alterd', 0, 250)];
    expect(addedRatioByRound(faster, figure('alterd'), figure('blind-node'), figure('direct'))).toBeNaN();
  });
});

describe('goals', () => {
  const of = (alterd: number) => judge([sample('alterd', 0, alterd), sample('nginx', 0, 10)])[0];

  it('are ok, missed or not measured', () => {
    expect(of(17)).toMatchObject({ measured: 1.7, verdict: 'ok' });
    expect(of(18)).toMatchObject({ measured: 1.8, verdict: 'MISSED' });
    expect(judge([sample('alterd', 0, 17)])[0]?.verdict).toBe('not measured');
  });

  it('are in the report, with ratio columns of those that were measured', () => {
    const report = reportOf([sample('alterd', 0, 15), sample('nginx', 0, 10)], ['squid: is not installed']);
    expect(report).toMatch(/goal ≤ 1\.7 × nginx \| measured 1\.50 \|\s+ok/);
    expect(report).toContain('÷ nginx');
    expect(report).not.toContain('÷ squid');
    expect(report).toContain('- squid: is not installed');
  });

  test.each([
    [Number.NaN, '–'],
    [12345.6, '12,346'],
    [1.234, '1.23'],
    [0.0934, '0.093'],
    [0, '0'],
  ])('%d is printed as %s', (value, text) => expect(number(value)).toBe(text));
});

describe('options', () => {
  test.each([
    [['--fast'], /unknown option --fast/],
    [['--seconds', '0'], /--seconds must be above 0/],
    [['--seconds', '3600'], /at most 30/],
    [['--rounds', 'many'], /--rounds must be/],
    [['--tests', 'ka16,ka17'], /there is no ka17/],
    [['--targets', 'apache'], /there is no apache/],
    [['--json'], /--json needs a value/],
    [['--help'], /npm run bench/],
  ])('%j is refused', (args, message) => expect(() => parseOptions(args)).toThrow(message));

  it('without any, measures everything for long enough', () => {
    const options = parseOptions([]);
    expect(options).toMatchObject({ tests: TEST_NAMES, targets: [...TARGET_NAMES, ...VAULT_NAMES], json: null, record: false });
    expect(options.warmSeconds).toBeGreaterThanOrEqual(5);
  });

  it('--quick is one short round, and gives way to what is said', () => {
    expect(parseOptions(['--quick'])).toMatchObject({ seconds: 1, rounds: 1, warmSeconds: 1 });
    expect(parseOptions(['--seconds', '2', '--quick', '--rounds=3'])).toMatchObject({ seconds: 2, rounds: 3, warmSeconds: 1 });
  });

  it('keeps the order of the tests', () => {
    expect(parseOptions(['--tests', 'newconn,check,ka16']).tests).toEqual(['check', 'ka16', 'newconn']);
  });
});
