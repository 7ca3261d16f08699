/** Where a set of policies comes from on the command line: what is in force, a version, a file, or a directory. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { readPolicyDirectory, readPolicyFile } from '../../config/policy-directory.ts';
import { AlterError } from '../../domain/errors.ts';
import type { PolicySource } from '../../domain/policy.ts';

/** As the API takes it. */
export interface SetRequest {
  readonly version?: number;
  readonly sources?: readonly { readonly place: string; readonly toml: string }[];
  readonly over?: 'files' | 'same_name';
}

/** `current`, a number, or a path. @throws AlterError invalid_input */
export function readSet(word: string): SetRequest {
  if (word === 'current') return {};
  if (/^\d{1,15}$/.test(word)) return { version: Number(word) };
  const sources = readSources(word).map(({ place, toml }) => ({ place, toml }));
  return { sources, over: isDirectory(word) ? 'files' : 'same_name' };
}

/** The policies of a file, of a directory, or of stdin ("-"). @throws AlterError invalid_input */
export function readSources(path: string): PolicySource[] {
  if (path === '-') return [{ origin: 'file', place: 'stdin', toml: readPolicyFile('/dev/stdin') }];
  if (isDirectory(path)) return readPolicyDirectory(path);
  return [{ origin: 'file', place: basename(path), toml: readPolicyFile(path) }];
}

function isDirectory(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined)
    throw new AlterError('invalid_input', { problems: [`${path} is no file, no directory and no version`] });
  return found.isDirectory();
}
