/**
 * Where the fields of a secret come from: stdin, files, file descriptors or a hidden prompt.
 * SECURITY: never the command line. Arguments are readable by every process of the machine and stay in shell histories.
 */
import { createReadStream, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { ProviderView } from '../api/provider-view.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import { askSecret, askText, isInteractive } from './prompt.ts';

type Field = ProviderView['fields'][number];

export type FieldSource =
  | { readonly from: 'stdin' }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'fd'; readonly fd: number }
  /** Only for fields that are no secret. */
  | { readonly from: 'argument'; readonly value: string };

export interface FieldFlags {
  readonly tokenStdin?: boolean;
  readonly fieldFile?: readonly string[];
  readonly fieldFd?: readonly string[];
  readonly field?: readonly string[];
}

const MAX_BYTES = 65_536;
const invalid = (problems: readonly string[], hint?: string): AlterError =>
  new AlterError('invalid_input', { problems }, hint === undefined ? {} : { hint });

/**
 * Which field comes from where. `rest` are the options that no flag knows: `--FIELD-file PATH` and `--FIELD-stdin`.
 * @throws AlterError invalid_input
 */
export function planFields(fields: readonly Field[], flags: FieldFlags, rest: readonly string[]): Map<string, FieldSource> {
  const plan = new Map<string, FieldSource>();
  const problems: string[] = [];
  const put = (name: string, source: FieldSource): void => {
    const field = fields.find((each) => each.name === name);
    if (field === undefined)
      problems.push(`there is no field ${JSON.stringify(name)}; there are ${fields.map((each) => each.name).join(', ')}`);
    else if (plan.has(name)) problems.push(`the field ${name} is given twice`);
    else if (source.from === 'argument' && field.secret) {
      problems.push(
        `${name} is a secret, and secrets are never taken from the command line: use --${flagName(name)}-file, --field-fd or the prompt`,
      );
    } else plan.set(name, source);
  };
  if (flags.tokenStdin === true) put(mainSecret(fields), { from: 'stdin' });
  for (const [name, value] of pairs(flags.fieldFile, '--field-file', problems)) put(name, { from: 'file', path: value });
  for (const [name, value] of pairs(flags.field, '--field', problems)) put(name, { from: 'argument', value });
  for (const [name, value] of pairs(flags.fieldFd, '--field-fd', problems)) {
    if (/^\d{1,5}$/.test(value)) put(name, { from: 'fd', fd: Number(value) });
    else problems.push(`--field-fd ${name}=${value}: not a number of a file descriptor`);
  }
  planRest(rest, put, problems);
  if ([...plan.values()].filter((source) => source.from === 'stdin').length > 1)
    problems.push('only one field can come from stdin');
  if (problems.length > 0) throw invalid(problems);
  return plan;
}

function planRest(rest: readonly string[], put: (name: string, source: FieldSource) => void, problems: string[]): void {
  for (let i = 0; i < rest.length; i++) {
    const match = /^--([a-z][a-z0-9_-]*?)(?:-(file|stdin))?(?:=(.*))?$/s.exec(rest[i] ?? '');
    const name = match?.[1]?.replaceAll('-', '_') ?? '';
    if (match?.[2] === 'stdin' && match[3] === undefined) put(name, { from: 'stdin' });
    else if (match?.[2] === 'file') {
      const path = match[3] ?? rest[++i];
      if (path === undefined) problems.push(`--${match[1]}-file needs a path`);
      else put(name, { from: 'file', path });
      // SECURITY: what follows an unknown option may be a secret: the option is named, its value never.
    } else if (match !== null) {
      problems.push(
        `unknown option --${match[1]}; a secret comes from --${match[1]}-file PATH, --token-stdin or the prompt, never from the command line`,
      );
      return;
    } else problems.push('too many arguments; a secret is never taken from the command line');
  }
}

/** `--token-stdin` fills the one secret that a provider has, whatever it is called there. */
function mainSecret(fields: readonly Field[]): string {
  const secrets = fields.filter((field) => field.secret);
  if (secrets.some((field) => field.name === 'token')) return 'token';
  if (secrets.length === 1) return secrets[0]?.name ?? 'token';
  throw invalid(
    [`--token-stdin is not clear: there are the secrets ${secrets.map((field) => field.name).join(', ')}`],
    'Use --FIELD-stdin for one and --FIELD-file for the others.',
  );
}

function pairs(list: readonly string[] | undefined, flag: string, problems: string[]): [string, string][] {
  return (list ?? []).flatMap((text): [string, string][] => {
    const split = text.indexOf('=');
    if (split > 0) return [[text.slice(0, split), text.slice(split + 1)]];
    problems.push(`${flag} is written NAME=…`);
    return [];
  });
}

const flagName = (field: string): string => field.replaceAll('_', '-');

/** The value of every field: as planned, and asked for where nothing was planned. @throws AlterError invalid_input; Cancelled */
export async function readFields(
  fields: readonly Field[],
  plan: ReadonlyMap<string, FieldSource>,
): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const field of fields) {
    const source = plan.get(field.name);
    if (source === undefined && field.optional === true) continue;
    values[field.name] = source === undefined ? await askField(field, fields) : await readSource(field, source);
    if (values[field.name] === '') throw emptyField(field.name, source);
  }
  return values;
}

function emptyField(name: string, source: FieldSource | undefined): AlterError {
  if (source?.from !== 'stdin') return invalid([`the field ${name} is empty`]);
  return invalid(
    [`nothing came on stdin for the field ${name}`],
    `Send it there: \`… --${flagName(name)}-stdin < FILE\`; or leave the flag out at a terminal, and you are asked for it.`,
  );
}

async function askField(field: Field, fields: readonly Field[]): Promise<string> {
  const only = fields.filter((each) => each.secret).length === 1;
  const otherwise = field.secret
    ? `Give it with ${only ? '--token-stdin' : `--${flagName(field.name)}-stdin`} or --${flagName(field.name)}-file PATH.`
    : `Give it with --field ${field.name}=VALUE.`;
  return field.secret ? (await askSecret(field.label, otherwise)).reveal() : askText(field.label, otherwise);
}

async function readSource(field: Field, source: FieldSource): Promise<string> {
  switch (source.from) {
    case 'argument':
      return source.value;
    case 'file':
      return withoutNewline(readSecretFile(source.path));
    case 'fd':
      return withoutNewline(
        await readAll(createReadStream('', { fd: source.fd, autoClose: false }), `file descriptor ${source.fd}`),
      );
    case 'stdin': {
      // A person at a terminal would see what is typed: ask in the dark instead.
      if (isInteractive()) return (await hidden(field)).reveal();
      return withoutNewline(await readAll(process.stdin, 'stdin'));
    }
  }
}

const hidden = (field: Field): Promise<Secret> => askSecret(field.label, 'Pipe it into stdin.');

function readSecretFile(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    throw invalid([`${path} can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`]);
  }
}

async function readAll(stream: Readable, what: string): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of stream) {
      size += (part as Buffer).length;
      if (size > MAX_BYTES) throw invalid([`${what} has more than ${MAX_BYTES} bytes`]);
      parts.push(part as Buffer);
    }
  } catch (error) {
    if (error instanceof AlterError) throw error;
    throw invalid([`${what} can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`]);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** `echo` and editors end a file with a line break that is no part of the secret. */
const withoutNewline = (text: string): string => text.replace(/\r?\n$/, '');
