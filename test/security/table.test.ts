/**
 * The guarantees in SECURITY.md are those that the tests of this directory show, id by id: `UPDATE_DOCS=1` writes the table anew.
 * A guarantee that nothing shows has to say why; one that claims more than its tests fails here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { GUARANTEES } from '../../src/selftest/guarantees.ts';
import { expectBlock, table } from '../unit/docs/documents.ts';
import { LIMITS } from './limits.ts';

interface Evidence {
  readonly files: Set<string>;
  passing: number;
  failing: number;
}

const here = fileURLToPath(new URL('.', import.meta.url));

/** What the titles of the tests say: `it('S-01 …'`, `it.each(…)('S-01, S-02 …'`, `it.fails('S-01 …'`. */
function evidenceOf(): Map<string, Evidence> {
  const found = new Map<string, Evidence>();
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.test.ts') && name !== 'table.test.ts',
  );
  for (const file of files.toSorted()) {
    const text = readFileSync(`${here}${file}`, 'utf8');
    for (const match of text.matchAll(/(\bit\.fails)?\(\s*['"`]((?:S-\d{2,3}, )*S-\d{2,3}) /g)) {
      for (const id of (match[2] as string).split(', ')) {
        const evidence = found.get(id) ?? { files: new Set(), passing: 0, failing: 0 };
        evidence.files.add(`\`test/security/${file}\``);
        if (match[1] === undefined) evidence.passing++;
        else evidence.failing++;
        found.set(id, evidence);
      }
    }
  }
  return found;
}

function statusOf(id: string, evidence: Evidence | undefined): string {
  const { gap, open } = LIMITS[id] ?? {};
  if (evidence === undefined) return `open: ${open ?? 'no test yet'}`;
  if (evidence.failing === 0) return 'holds';
  return `${evidence.passing === 0 ? '**not defended**' : 'in part'}: ${gap}`;
}

const evidence = evidenceOf();

it('every id from S-01 to S-116 is in the list once, and no test names another', () => {
  const ids = Array.from({ length: 116 }, (_none, i) => `S-${String(i + 1).padStart(2, '0')}`);
  expect(GUARANTEES.map(({ id }) => id)).toEqual(ids);
  expect([...evidence.keys()].filter((id) => !ids.includes(id))).toEqual([]);
});

it('a gap is told where a test is expected to fail, and nowhere else', () => {
  const failing = GUARANTEES.filter(({ id }) => (evidence.get(id)?.failing ?? 0) > 0).map(({ id }) => id);
  expect(GUARANTEES.map(({ id }) => id).filter((id) => LIMITS[id]?.gap !== undefined)).toEqual(failing);
});

it('what is open has no test, and what has none is open', () => {
  expect(Object.keys(LIMITS).filter((id) => LIMITS[id]?.open !== undefined && evidence.has(id))).toEqual([]);
});

it('SECURITY.md says the same', () => {
  const rows = GUARANTEES.map((each) => [
    each.id,
    each.text,
    statusOf(each.id, evidence.get(each.id)),
    [...(evidence.get(each.id)?.files ?? [])].join(', '),
  ]);
  expectBlock('SECURITY.md', 'guarantees', table(['id', 'guarantee', 'status', 'shown by'], rows));
});
