/**
 * What the CLI says and where: data and nothing else on stdout, everything for people on stderr.
 * Colours only on a terminal, and not with NO_COLOR. Text of others is made printable before it is shown.
 */
import type { Writable } from 'node:stream';
import { grid, printable, printableJson } from './table.ts';

export type Format = 'table' | 'json' | 'jsonl';
export const FORMATS: readonly Format[] = ['table', 'json', 'jsonl'];

/** Undefined and null are shown as `-`. */
export type Cell = string | number | boolean | null | undefined;

export interface Column<T> {
  readonly header: string;
  readonly cell: (row: T) => Cell;
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';
const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

export interface Output {
  readonly format: Format;
  /** Whether data goes to a terminal that draws what it is sent. */
  readonly isTerminal: boolean;
  /** Many things: a table, an array, or a line each. `empty` goes to stderr when there is none. */
  list<T>(rows: readonly T[], columns: readonly Column<T>[], empty: string): void;
  /** One thing: labelled lines, or an object. */
  record(value: object, fields: readonly (readonly [string, Cell])[]): void;
  /** Data in a form of its own (PEM, scripts), as it is. */
  raw(text: string): void;
  /** One thing of an endless list. */
  event<T extends object>(value: T, text: (value: T) => string): void;
  note(text: string): void;
  /** The next command. */
  hint(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  /** Styles text for stderr or stdout, when that is a terminal. */
  paint(style: Style, text: string, stream?: 'stdout' | 'stderr'): string;
}

export interface OutputOptions {
  readonly format: Format;
  readonly quiet: boolean;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Writes to these streams in this format. */
export function createOutput({ format, quiet, stdout, stderr, env }: OutputOptions): Output {
  const hasColour = (stream: { readonly isTTY?: boolean }): boolean =>
    stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  const paint = (style: Style, text: string, stream: 'stdout' | 'stderr' = 'stderr'): string => {
    if (!hasColour(stream === 'stdout' ? stdout : stderr)) return text;
    const [on, off] = CODES[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  };
  const say = (text: string): void => void stderr.write(`${text}\n`);
  const put = (text: string): void => void stdout.write(text);
  const json = (value: unknown): void => put(`${printableJson(value, format === 'json' ? 2 : undefined)}\n`);

  return {
    format,
    isTerminal: stdout.isTTY === true && env.TERM !== 'dumb',
    paint,
    list: (rows, columns, empty) => {
      if (format === 'json') return json(rows);
      if (format === 'jsonl') return rows.forEach(json);
      if (rows.length === 0) return quiet ? undefined : say(empty);
      const lines = grid(
        columns.map((column) => column.header),
        rows.map((row) => columns.map((column) => cellText(column.cell(row)))),
      );
      put(`${paint('dim', lines.header ?? '', 'stdout')}\n${lines.rows.join('\n')}\n`);
    },
    record: (value, fields) => {
      if (format !== 'table') return json(value);
      const lines = grid(
        null,
        fields.map(([label, cell]) => [label, cellText(cell)]),
      );
      put(`${lines.rows.join('\n')}\n`);
    },
    raw: put,
    event: (value, text) => put(format === 'table' ? `${printable(text(value))}\n` : `${printableJson(value)}\n`),
    note: (text) => (quiet ? undefined : say(printable(text))),
    hint: (text) => (quiet ? undefined : say(`${paint('dim', 'alterd: hint:')} ${printable(text)}`)),
    warn: (text) => say(`${paint('yellow', 'alterd: warning:')} ${printable(text)}`),
    error: (text) => say(`${paint('red', 'alterd: error:')} ${printable(text)}`),
  };
}

export const cellText = (cell: Cell): string =>
  cell === null || cell === undefined || cell === '' ? '-' : printable(String(cell));
