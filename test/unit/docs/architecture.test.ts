/** ARCHITECTURE.md shows the layers as the linter enforces them, and every directory that there is. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectBlock, ROOT, table, textOf } from './documents.ts';

interface Override {
  readonly includes: readonly string[];
  readonly linter: { readonly rules: { readonly style?: { readonly noRestrictedImports?: Restriction } } };
}
interface Restriction {
  readonly level: string;
  readonly options: { readonly patterns: readonly { readonly group: readonly string[]; readonly message: string }[] };
}

const { overrides } = JSON.parse(textOf('biome.json')) as { overrides: readonly Override[] };
const rooms = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);

test('the layers are those of the linter', () => {
  const rows = overrides.flatMap(({ includes, linter }) => {
    const restriction = linter.rules.style?.noRestrictedImports;
    if (restriction === undefined) return [];
    const forbidden = restriction.options.patterns.flatMap(({ group }) => group);
    const room = (includes[0] ?? '').split('/')[1] ?? '';
    const allowed = rooms.filter((other) => other !== room && !forbidden.includes(`**/../${other}/**`));
    // A pattern that was forgotten would allow what the message denies.
    expect([room, restriction.level, allowed]).toEqual([
      room,
      'error',
      rooms.filter((other) => restriction.options.patterns[0]?.message.split(': ')[1]?.split(', ').includes(other)),
    ]);
    return [[`\`${room}\``, allowed.length === 0 ? 'nothing of `src`' : allowed.map((name) => `\`${name}\``).join(', ')]];
  });
  expect(rows.map(([room]) => room).toSorted()).toEqual(rooms.map((room) => `\`${room}\``).toSorted());
  expectBlock('ARCHITECTURE.md', 'layers', table(['room', 'may import, beside itself'], rows));
});

test('every room of src is in the table of directories', () => {
  const text = textOf('ARCHITECTURE.md');
  expect(rooms.filter((room) => !text.includes(`\`src/${room}/`))).toEqual([]);
});
