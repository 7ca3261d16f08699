/** The documents of the repository as tests read them, and their generated blocks: `UPDATE_DOCS=1` writes these anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'SECURITY.md',
  'OPERATIONS.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'systemd/README.md',
  'config/providers/README.md',
  'src/domain/ERRORS.md',
] as const;

export const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

const marks = (name: string): [string, string] => [`<!-- ${name}:begin -->\n`, `<!-- ${name}:end -->`];

/** What stands between the marks of a block. */
export function blockOf(file: string, name: string): string {
  const [begin, end] = marks(name);
  const text = textOf(file);
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`${file} has no block ${name}`);
  return text.slice(from + begin.length, to);
}

/** The block says what the code says; with UPDATE_DOCS=1 it is made to. */
export function expectBlock(file: string, name: string, wanted: string): void {
  if (process.env.UPDATE_DOCS === '1' && blockOf(file, name) !== wanted) {
    const [begin] = marks(name);
    const text = textOf(file);
    const from = text.indexOf(begin) + begin.length;
    writeFileSync(join(ROOT, file), text.slice(0, from) + wanted + text.slice(from + blockOf(file, name).length));
  }
  expect(blockOf(file, name), `UPDATE_DOCS=1 npx vitest run test/unit/docs writes ${file} anew`).toBe(wanted);
}

/** A Markdown table. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return `${[line(header), `|${header.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')}\n`;
}

export interface Fence {
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a document. */
export const fencesOf = (text: string): Fence[] =>
  [...text.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].map((match) => ({ language: match[1] ?? '', text: match[2] ?? '' }));
