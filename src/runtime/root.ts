/**
 * Where the files of this copy of alterd lie. They are found from the root of the package, since a bundle does not lie where its
 * source does. Knows nothing of an installation, whose directories are the operator's choice.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const HERE = fileURLToPath(import.meta.url);

/** True when this process runs the sources themselves (tests, `npm run dev`) and not the build. */
export const FROM_SOURCE: boolean = HERE.endsWith('.ts');

/** The directory of package.json, absolute. */
export const ROOT: string = rootAbove(dirname(HERE));

/** A file that comes with alterd. @param path from the root, with slashes: `config/providers` */
export const ownFile = (path: string): string => join(ROOT, path);

/** A module of alterd that is a program of its own: the entry of a thread or of a child. @param module below src: `journal/writer` */
export const ownModule = (module: string): URL =>
  pathToFileURL(ownFile(FROM_SOURCE ? `src/${module}.ts` : `dist/bundle/${module}.cjs`));

function rootAbove(dir: string): string {
  for (let at = dir; ; at = dirname(at)) {
    if (existsSync(join(at, 'package.json'))) return at;
    if (dirname(at) === at) throw new Error(`no package.json above ${dir}`);
  }
}
