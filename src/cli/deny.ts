/** `--deny` of `alterd run`: what a session may not do, though its agent may. */
import { AlterError } from '../domain/errors.ts';

export interface Denials {
  readonly denied_methods: readonly string[];
  readonly denied_paths: readonly string[];
  readonly denied_hosts: readonly string[];
}

/** All of them, or every problem at once. @throws AlterError invalid_input */
export function parseDenials(flags: readonly string[]): Denials {
  const found = { method: [] as string[], path: [] as string[], host: [] as string[] };
  const problems: string[] = [];
  for (const flag of flags) {
    const split = flag.indexOf('=');
    const kind = flag.slice(0, split);
    const value = flag.slice(split + 1).trim();
    if (split === -1 || !isKind(kind)) problems.push(`--deny ${JSON.stringify(flag)} must be method=…, path=… or host=…`);
    else if (value === '') problems.push(`--deny ${kind}= needs a value`);
    else problems.push(...add(found, kind, value));
  }
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  return { denied_methods: found.method, denied_paths: found.path, denied_hosts: found.host };
}

type Kind = 'method' | 'path' | 'host';
const isKind = (text: string): text is Kind => text === 'method' || text === 'path' || text === 'host';

function add(found: Record<Kind, string[]>, kind: Kind, value: string): string[] {
  if (kind === 'path') {
    // SECURITY: a pattern that can match nothing would be a denial that isn't one. Commas belong to the path.
    if (!value.startsWith('/')) return [`--deny path=${value}: a path starts with "/"`];
    found.path.push(value);
    return [];
  }
  const parts = value.split(',').map((part) => part.trim());
  const wrong = parts.filter((part) => !(kind === 'method' ? /^[A-Za-z-]+$/ : /^(\*\.)?[A-Za-z0-9._:[\]-]+$/).test(part));
  found[kind].push(...parts.map((part) => (kind === 'method' ? part.toUpperCase() : part.toLowerCase())));
  return wrong.map((part) => `--deny ${kind}=${part}: not a ${kind}`);
}
