/**
 * One TOML text, parsed, with the line of each key. smol-toml keeps no positions, so lines come from a scan of the text:
 * good for messages, never used for values.
 */
import { parse, TomlError } from 'smol-toml';

export interface TomlDocument {
  readonly table: Readonly<Record<string, unknown>>;
  /** Line of a dotted key path such as `listen.tcp` or `inject.0.name`; null when the scan cannot tell. */
  lineOf(path: string): number | null;
}

/** The document, or one problem that names the line. */
export function parseToml(
  text: string,
): TomlDocument | { readonly problem: string; readonly line: number | null; readonly column: number | null } {
  try {
    const table = parse(text, { unsafeKeyBehaviour: 'throw' });
    let lines: ReadonlyMap<string, number> | null = null;
    return {
      table,
      lineOf: (path) => {
        lines ??= scanLines(text);
        return lines.get(path) ?? null;
      },
    };
  } catch (error) {
    // SECURITY: only the first line of the message; the rest quotes the text, where somebody may have left a secret.
    const line = error instanceof TomlError ? error.line : null;
    const column = error instanceof TomlError ? error.column : null;
    return { problem: (error instanceof Error ? error.message : 'not TOML').split('\n')[0]!, line, column };
  }
}

function scanLines(text: string): Map<string, number> {
  const found = new Map<string, number>();
  const counts = new Map<string, number>();
  let prefix = '';
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*(\[\[?)([^\]]+)\]/.exec(line);
    if (header) {
      const name = dotted(header[2]!);
      const nth = counts.get(name) ?? 0;
      counts.set(name, nth + 1);
      prefix = header[1] === '[[' ? `${name}.${nth}.` : `${name}.`;
      found.set(prefix.slice(0, -1), index + 1);
      continue;
    }
    const assignment = /^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=/.exec(line);
    if (assignment && !found.has(prefix + dotted(assignment[1]!))) found.set(prefix + dotted(assignment[1]!), index + 1);
  }
  return found;
}

const dotted = (keyText: string): string =>
  (keyText.match(/"[^"]*"|'[^']*'|[\w-]+/g) ?? []).map((part) => part.replace(/^["']|["']$/g, '')).join('.');
