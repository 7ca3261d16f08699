/**
 * The passphrase of a sealed file: from stdin, a file, a descriptor or a hidden prompt.
 * SECURITY: never the command line, which every process of the machine can read.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import { askSecret } from './prompt.ts';

export interface PassphraseFlags {
  readonly passphraseStdin?: boolean;
  readonly passphraseFile?: string;
  readonly passphraseFd?: string;
}

export const withPassphrase = (command: Command): Command =>
  command
    .option('--passphrase-stdin', 'read the passphrase from stdin')
    .option('--passphrase-file <path>', 'read the passphrase from a file')
    .option('--passphrase-fd <number>', 'read the passphrase from an open descriptor');

const OTHERWISE = 'Give it with --passphrase-stdin, --passphrase-file PATH or --passphrase-fd N.';

/** @param isNew asked for twice, since nothing tells a slip of the hand before it is too late. @throws AlterError invalid_input; Cancelled */
export async function readPassphrase(flags: PassphraseFlags, isNew: boolean): Promise<Secret> {
  const { passphraseStdin, passphraseFile, passphraseFd } = flags;
  const sources = [passphraseStdin, passphraseFile, passphraseFd].filter((each) => each !== undefined);
  if (sources.length > 1) throw invalid('the passphrase comes from one place: stdin, a file or a descriptor');
  if (passphraseFd !== undefined) {
    if (!/^\d{1,5}$/.test(passphraseFd)) throw invalid('--passphrase-fd is not the number of a descriptor');
    return readFrom(Number(passphraseFd), `descriptor ${passphraseFd}`);
  }
  if (passphraseFile !== undefined) return readFrom(passphraseFile, passphraseFile);
  if (passphraseStdin === true && process.stdin.isTTY !== true) return readFrom(0, 'stdin');
  const first = await askSecret('Passphrase of the file', OTHERWISE);
  if (!isNew) return first;
  const second = await askSecret('The same again', OTHERWISE);
  if (first.reveal() === second.reveal()) return first;
  throw invalid('the two are not the same');
}

function readFrom(source: string | number, what: string): Secret {
  let text: string;
  try {
    // Editors and `echo` end a file with a line break that is no part of it.
    text = readFileSync(source, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    throw invalid(`${what} can't be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`);
  }
  if (text === '') throw invalid(`${what} has no passphrase`);
  return new Secret(text);
}

const invalid = (problem: string): AlterError => new AlterError('invalid_input', { problems: [problem] });
