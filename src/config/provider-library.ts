/**
 * The catalogue together with the one place where an operator's provider file is checked and kept. A file is written whole
 * or not at all, and only after it parsed and fits beside the others.
 */
import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import { type CatalogueOptions, loadCatalogue, type ProviderCatalogue } from './catalogue.ts';
import { lintAddition } from './catalogue-lint.ts';
import { type ProviderSpec, parseProvider } from './provider.ts';

export interface ProviderLibrary extends ProviderCatalogue {
  /** @throws AlterError invalid_input */
  validate(toml: string): ProviderSpec;
  /** Stores the file for its slug; over the operator's earlier one only with `replace`. @throws AlterError invalid_input, conflict */
  add(toml: string, options: { readonly replace: boolean }): Promise<ProviderSpec>;
}

/** Opens both directories; the operator's is made by the first `add`. @throws AlterError invalid_input */
export function openProviderLibrary(options: CatalogueOptions & { readonly userDir: string }): ProviderLibrary {
  const catalogue = loadCatalogue(options);
  const validate = (toml: string): ProviderSpec => {
    const spec = parseProvider(toml, 'provider');
    const others = catalogue.list().filter((other) => other.slug !== spec.slug);
    const problems = lintAddition(others, spec);
    if (problems.length > 0) throw new AlterError('invalid_input', { problems });
    return spec;
  };
  return {
    find: catalogue.find,
    list: catalogue.list,
    isUserDefined: catalogue.isUserDefined,
    overridesBuiltin: catalogue.overridesBuiltin,
    refresh: catalogue.refresh,
    get problems() {
      return catalogue.problems;
    },
    validate,
    add: async (toml, { replace }) => {
      const spec = validate(toml);
      writeWhole(options.userDir, spec.slug, toml, replace);
      catalogue.refresh();
      return spec;
    },
  };
}

/** The slug was checked by parseProvider, so it can't leave the directory. */
function writeWhole(dir: string, slug: string, toml: string, replace: boolean): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, `${slug}.toml`);
  // A leading dot and no `.toml` at the end: the catalogue never reads an unfinished file.
  const draft = join(dir, `.${slug}.${process.pid}.draft`);
  writeFileSync(draft, toml, { mode: 0o600, flush: true });
  try {
    if (replace) renameSync(draft, file);
    // link(2) refuses to replace, where rename would silently do it.
    else linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new AlterError('conflict', {
      reason: `a provider file for ${slug} is already there`,
      hint: 'Replace it explicitly, or choose another slug.',
    });
  } finally {
    rmSync(draft, { force: true });
  }
}
