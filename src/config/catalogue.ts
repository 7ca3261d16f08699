/**
 * The catalogue of providers: built-in files and the operator's own, which win by slug. Directories are listed at once,
 * files are parsed when they are asked for. A broken file of the operator hides the built-in one of the same slug: falling
 * back could send a credential to hosts that the operator took away.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import { ownFile } from '../runtime/root.ts';
import { type ProviderSpec, parseProvider } from './provider.ts';

export interface ProviderCatalogue {
  /** By slug or alias. A slug wins over an alias. */
  find(name: string): ProviderSpec | undefined;
  /** All that are usable, by slug. */
  list(): ProviderSpec[];
  /**
   * What is wrong with files that cannot be used, as `FILE:LINE: KEY …`: every file of the operator, and the built-in ones
   * that were read so far. Asked at each start, where reading all of them would cost 30 ms.
   */
  readonly problems: readonly string[];
  /** True when the operator's own file is the one in force for this slug. */
  isUserDefined(slug: string): boolean;
  /** True when that file stands in the place of a built-in one. */
  overridesBuiltin(slug: string): boolean;
  /** Looks at the directories again, after a file was added or changed. */
  refresh(): void;
}

export interface CatalogueOptions {
  readonly builtinDir: string;
  /** Need not exist. */
  readonly userDir: string | null;
}

/** The files that come with alterd. */
export const builtinProvidersDir = (): string => ownFile('config/providers');

/** Parsed, or what is wrong with it. */
type Entry = { readonly spec: ProviderSpec } | { readonly problems: readonly string[] };

/** Indexes both directories; parses nothing yet. @throws AlterError invalid_input when a directory can't be read */
export function loadCatalogue(options: CatalogueOptions): ProviderCatalogue {
  let files = indexFiles(options);
  let entries = new Map<string, Entry>();
  let aliases: ReadonlyMap<string, ProviderSpec> | null = null;

  const entryOf = (slug: string): Entry | undefined => {
    const file = files.get(slug);
    if (file === undefined) return undefined;
    let entry = entries.get(slug);
    if (entry === undefined) {
      entry = readEntry(file);
      entries.set(slug, entry);
    }
    return entry;
  };
  const list = (): ProviderSpec[] =>
    [...files.keys()].flatMap((slug) => {
      const entry = entryOf(slug)!;
      return 'spec' in entry ? [entry.spec] : [];
    });
  const isUserDefined = (slug: string): boolean =>
    options.userDir !== null && files.get(slug) === join(options.userDir, `${slug}.toml`);

  return {
    find: (name) => {
      const entry = entryOf(name);
      if (entry !== undefined) return 'spec' in entry ? entry.spec : undefined;
      aliases ??= new Map(list().flatMap((spec) => (spec.aliases ?? []).map((alias) => [alias, spec] as const)));
      return aliases.get(name);
    },
    list,
    get problems() {
      const read = [...files.keys()].filter((slug) => entries.has(slug) || isUserDefined(slug));
      return read.flatMap((slug) => {
        const entry = entryOf(slug)!;
        return 'problems' in entry ? entry.problems : [];
      });
    },
    isUserDefined,
    overridesBuiltin: (slug) => isUserDefined(slug) && existsSync(join(options.builtinDir, `${slug}.toml`)),
    refresh: () => {
      files = indexFiles(options);
      entries = new Map();
      aliases = null;
    },
  };
}

function indexFiles({ builtinDir, userDir }: CatalogueOptions): Map<string, string> {
  const found = new Map<string, string>();
  for (const [dir, mustExist] of [[builtinDir, true] as const, [userDir, false] as const]) {
    if (dir === null) continue;
    for (const name of listDir(dir, mustExist)) {
      if (name.endsWith('.toml') && !name.startsWith('.')) found.set(basename(name, '.toml'), join(dir, name));
    }
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function listDir(dir: string, mustExist: boolean): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    if (code === 'ENOENT' && !mustExist) return [];
    throw new AlterError('invalid_input', { problems: [`${dir}: can't be read (${code})`] }, { cause: error });
  }
}

function readEntry(file: string): Entry {
  try {
    return { spec: parseProvider(readFileSync(file, 'utf8'), file) };
  } catch (error) {
    if (error instanceof AlterError && error.code === 'invalid_input') {
      return { problems: (error.details as { problems: readonly string[] }).problems };
    }
    return { problems: [`${file}: can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`] };
  }
}
