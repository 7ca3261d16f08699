// What may be installed: the bytes that the lock file names, and nothing else, whatever way they come. Looks at files alone, changes nothing and
// never asks the network. Plain JavaScript without dependencies: it runs before anything is installed.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/;

const read = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'));

/** Entries of a lock file without that of the project itself. */
const packagesOf = (lock) => Object.entries(lock.packages ?? {}).filter(([path]) => path !== '');

/**
 * What is wrong with the lock file; empty when nothing is.
 * SECURITY: without a hash the registry, and everybody on the way to it, chooses what is installed and run here.
 */
export function lockProblems(root) {
  const found = packagesOf(read(root, 'package-lock.json'));
  if (found.length === 0) return ['it names no packages'];
  return found.flatMap(([path, { integrity, resolved, link }]) => {
    if (link === true) return [`${path} is a link`];
    if (resolved !== undefined && !/^https:/.test(resolved))
      return [`${path} comes from ${resolved.split(':')[0]}:, not from https:`];
    return SHA512.test(integrity ?? '') ? [] : [`${path} has no sha512 integrity`];
  });
}

/**
 * What npm put here that the lock file does not name; empty when nothing is.
 * SECURITY: a package.json that names more than the lock file, or an npm that was told to ignore it, lets the registry choose.
 */
export function installedProblems(root) {
  const listing = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(listing)) return ['npm left no list of what it installed'];
  const pinned = new Map(packagesOf(read(root, 'package-lock.json')));
  return packagesOf(read(listing)).flatMap(([path, { version, integrity }]) => {
    const entry = pinned.get(path);
    return entry !== undefined && entry.version === version && entry.integrity === integrity ? [] : [`${path} ${version}`];
  });
}

/** Packages whose install scripts may run: those of package.json that say so, where they are installed. */
export function scriptedPackages(root) {
  const { allowScripts = {} } = read(root, 'package.json');
  return Object.keys(allowScripts).filter((name) => allowScripts[name] === true && existsSync(join(root, 'node_modules', name)));
}
