/**
 * Sets keys of one table in a TOML text, and leaves everything else as somebody wrote it: comments, order, other tables. Only strings
 * are set. What comes out is for the caller to read again before it is kept.
 */

/** The text with these keys in `[table]`, which is added at the end where there is none. */
export function withKeys(text: string, table: string, values: Readonly<Record<string, string>>): string {
  const lines = text.split('\n');
  const head = lines.findIndex((line) => line.replace(/#.*$/, '').trim() === `[${table}]`);
  if (head < 0) {
    const body = Object.entries(values).map(([name, value]) => entry(name, value));
    return `${text.replace(/\n*$/, '\n')}\n[${table}]\n${body.join('\n')}\n`.replace(/^\n+/, '');
  }
  const next = lines.findIndex((line, i) => i > head && /^\s*\[/.test(line));
  const end = next < 0 ? lines.length : next;
  const inside = lines.slice(head + 1, end);
  const missing: string[] = [];
  for (const [name, value] of Object.entries(values)) {
    const at = inside.findIndex((line) => new RegExp(`^\\s*${name}\\s*=`).test(line));
    if (at < 0) missing.push(entry(name, value));
    else inside[at] = entry(name, value);
  }
  return [...lines.slice(0, head + 1), ...missing, ...inside, ...lines.slice(end)].join('\n');
}

/** A JSON string is a basic string of TOML. */
const entry = (name: string, value: string): string => `${name} = ${JSON.stringify(value)}`;
