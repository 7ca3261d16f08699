import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createOutput, type Format, type Output } from '../../../src/cli/output.ts';
import { printable, printableJson } from '../../../src/cli/table.ts';

interface Row {
  readonly name: string;
  readonly size: number | null;
}

function make(format: Format, options: { isTTY?: boolean; quiet?: boolean; env?: Record<string, string> } = {}) {
  const stdout = Object.assign(new PassThrough(), { isTTY: options.isTTY === true });
  const stderr = Object.assign(new PassThrough(), { isTTY: options.isTTY === true });
  const output = createOutput({ format, quiet: options.quiet === true, stdout, stderr, env: options.env ?? {} });
  const text = (stream: PassThrough): string => (stream.read() as Buffer | null)?.toString() ?? '';
  return { output, out: () => text(stdout), err: () => text(stderr) };
}

const columns = [
  { header: 'NAME', cell: (row: Row) => row.name },
  { header: 'SIZE', cell: (row: Row) => row.size },
];
const rows: Row[] = [
  { name: 'a', size: 10 },
  { name: 'longer', size: null },
];

const say = (output: Output): void => {
  output.note('n');
  output.hint('h');
  output.warn('w');
  output.error('e');
};

describe('stdout and stderr', () => {
  test('messages never reach stdout', () => {
    const { output, out, err } = make('table');
    say(output);
    expect(out()).toBe('');
    expect(err()).toBe('n\nalterd: hint: h\nalterd: warning: w\nalterd: error: e\n');
  });

  test('quiet keeps warnings and errors', () => {
    const { output, err } = make('table', { quiet: true });
    say(output);
    output.list([], columns, 'nothing');
    expect(err()).toBe('alterd: warning: w\nalterd: error: e\n');
  });

  test('an empty table is a note on stderr, an empty list is an empty array', () => {
    const table = make('table');
    table.output.list([], columns, 'nothing there');
    expect([table.out(), table.err()]).toEqual(['', 'nothing there\n']);
    const json = make('json');
    json.output.list([], columns, 'nothing there');
    expect([json.out(), json.err()]).toEqual(['[]\n', '']);
  });
});

describe('formats', () => {
  test('a table is aligned and has no trailing blanks', () => {
    const { output, out } = make('table');
    output.list(rows, columns, '');
    expect(out()).toBe('NAME    SIZE\na       10\nlonger  -\n');
  });

  test('jsonl is one value a line, json one array', () => {
    const lines = make('jsonl');
    lines.output.list(rows, columns, '');
    expect(
      lines
        .out()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    ).toEqual(rows);
    const json = make('json');
    json.output.list(rows, columns, '');
    expect(JSON.parse(json.out())).toEqual(rows);
  });

  test('an event of an endless list is a line in every format but table', () => {
    const { output, out } = make('json');
    output.event({ a: 1 }, () => 'text');
    output.event({ a: 2 }, () => 'text');
    expect(out()).toBe('{"a":1}\n{"a":2}\n');
  });
});

describe('colours', () => {
  test.each([
    ['no terminal', { isTTY: false }, false],
    ['NO_COLOR', { isTTY: true, env: { NO_COLOR: '1' } }, false],
    ['a dumb terminal', { isTTY: true, env: { TERM: 'dumb' } }, false],
    ['a terminal', { isTTY: true }, true],
    ['an empty NO_COLOR', { isTTY: true, env: { NO_COLOR: '' } }, true],
  ])('%s', (_name, options, isColoured) => {
    const { output, err } = make('table', options);
    output.error('x');
    expect(err().includes('\u001b[')).toBe(isColoured);
  });
});

describe("others' text", () => {
  test('terminal escapes in cells and messages come out as text', () => {
    const { output, out, err } = make('table', { isTTY: true, env: { NO_COLOR: '1' } });
    output.list([{ name: 'evil\u001b[2J\u009b31m\r\nrow\u202e', size: 1 }], columns, '');
    output.error('path \u001b]0;title\u0007');
    expect(out() + err()).not.toMatch(/[\u001b\u009b\u202e\r\u0007]/);
  });

  test('what is printed holds no control characters, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      }),
    );
  });

  test('JSON stays the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = printableJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(text).not.toMatch(/[\u007f-\u009f\u202a-\u202e]/);
      }),
    );
  });
});
