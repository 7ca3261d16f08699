import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ExportFormat, formatExports } from '../../../src/ca/export-format.ts';

const FORMATS: readonly ExportFormat[] = ['bash', 'fish', 'powershell', 'dotenv'];

describe('formatExports refuses', () => {
  test.each(FORMATS)('a name that is no variable name: %s', (format) => {
    for (const name of ['A B', 'A;id', '', '1A', 'A=B', 'A\nB', '$(id)']) {
      const thrown = expect.objectContaining({ code: 'invalid_input' });
      expect(() => formatExports({ set: { [name]: 'x' }, unset: [] }, format)).toThrow(thrown);
      expect(() => formatExports({ set: {}, unset: [name] }, format)).toThrow(thrown);
    }
  });

  test.each(FORMATS)('a NUL in a value: %s', (format) => {
    expect(() => formatExports({ set: { A: 'a\0b' }, unset: [] }, format)).toThrow(
      expect.objectContaining({ code: 'invalid_input' }),
    );
  });
});

describe('formatExports', () => {
  test.each([
    ['bash', `it's`, `export A='it'\\''s'`],
    ['bash', '$(id) `id` "x" \\', `export A='$(id) \`id\` "x" \\'`],
    ['fish', `it's \\n`, `set -gx A 'it\\'s \\\\n'`],
    ['powershell', `it's $x`, `$env:A = 'it''s $x'`],
    ['powershell', 'a\u2019; id; \u2018b', `$env:A = 'a\u2019\u2019; id; \u2018\u2018b'`],
    ['dotenv', 'http://agent:k-1_2@127.0.0.1:8080', 'A=http://agent:k-1_2@127.0.0.1:8080'],
    ['dotenv', '', 'A='],
    ['dotenv', 'two words # no comment', `A='two words # no comment'`],
    ['dotenv', `it's $HOME`, `A="it's \\$HOME"`],
    ['dotenv', 'two\nlines', 'A="two\\nlines"'],
  ] as const)('quotes for %s: %j', (format, value, line) => {
    expect(formatExports({ set: { A: value }, unset: [] }, format)).toBe(`${line}\n`);
  });

  test.each([
    ['bash', 'unset SSL_CERT_DIR'],
    ['fish', 'set -e SSL_CERT_DIR'],
    ['powershell', 'Remove-Item Env:SSL_CERT_DIR -ErrorAction SilentlyContinue'],
    ['dotenv', '# unset SSL_CERT_DIR'],
  ] as const)('unsets in %s', (format, line) => {
    expect(formatExports({ set: {}, unset: ['SSL_CERT_DIR'] }, format)).toBe(`${line}\n`);
  });

  test('a real bash gets every value back, byte for byte, and evaluates nothing', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({
        unit: fc.constantFrom("'", '"', '\\', '$', '`', '(', ')', ';', '\n', '\r', ' ', '!', '&', '|', 'a', '~', '*', '#'),
        maxLength: 60,
      }),
    );
    const value = hostile.map((text) => Buffer.from(text.replaceAll('\0', ''), 'utf8').toString('utf8'));
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 40 }), (values) => {
        const set = Object.fromEntries(values.map((text, i) => [`V_${i}`, text]));
        const script = `${formatExports({ set, unset: [] }, 'bash')}for ((i = 0; i < ${values.length}; i++)); do n="V_$i"; printf '%s\\0' "\${!n}"; done`;
        const output = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
        expect(output.split('\0').slice(0, -1)).toEqual(values);
      }),
      { numRuns: 60 },
    );
  });
});
