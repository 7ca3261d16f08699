import { expect, test } from 'vitest';
import { parseToml } from '../../../src/config/toml-document.ts';
import { withKeys } from '../../../src/config/toml-edit.ts';

const VALUES = { url: 'https://v.test', note: 'a "b" \\ ü' };

test.each([
  ['nothing', ''],
  ['another table', '# mine\negress = "refuse"\n\n[log]\nlevel = "warn" # why\n'],
  ['no line break at the end', '[log]\nlevel = "warn"'],
  ['the table with a key of it', '[vault] # here\n# of old\nurl = "x"\n[log]\nurl = "kept"\n'],
  ['an empty table at the end', '[log]\nlevel = "warn"\n[vault]\n'],
])('a text with %s gets the keys, once, and keeps the rest', (_name, before) => {
  const once = withKeys(before, 'vault', VALUES);
  expect(withKeys(once, 'vault', VALUES)).toBe(once);
  const read = parseToml(once) as { table: Record<string, unknown> };
  const kept = parseToml(before) as { table: Record<string, unknown> };
  expect(read.table).toEqual({ ...kept.table, vault: { ...(kept.table.vault as object | undefined), ...VALUES } });
  for (const line of before.split('\n')) if (!line.startsWith('url = "x"')) expect(once).toContain(line);
});
