/**
 * Export format: a client environment as text that a shell or a dotenv reader takes in. Values may be hostile (a directory
 * name can hold any character), so everything is quoted such that it is one word and nothing in it is ever evaluated.
 */
import { AlterError } from '../domain/errors.ts';

export type ExportFormat = 'bash' | 'fish' | 'powershell' | 'dotenv';

export interface Exports {
  readonly set: Readonly<Record<string, string>>;
  readonly unset: readonly string[];
}

const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Quoting of one value. SECURITY: the output is meant for `eval`, so a hole here runs a directory name as a command. */
const QUOTE: Readonly<Record<ExportFormat, (value: string) => string>> = {
  bash: (value) => `'${value.replaceAll("'", `'\\''`)}'`,
  fish: (value) => `'${value.replace(/[\\']/g, '\\$&')}'`,
  // PowerShell takes the four typographic quotes for a plain one.
  powershell: (value) => `'${value.replace(/['\u2018\u2019\u201a\u201b]/g, '$&$&')}'`,
  dotenv: (value) => {
    // Unquoted where possible: `docker run --env-file` takes quotes literally.
    if (/^[A-Za-z0-9_./:@%+,=~-]*$/.test(value)) return value;
    if (!/['\r\n]/.test(value)) return `'${value}'`;
    return `"${value
      .replace(/[\\"$`]/g, '\\$&')
      .replaceAll('\r', '\\r')
      .replaceAll('\n', '\\n')}"`;
  },
};

const LINE: Readonly<Record<ExportFormat, { set: (name: string, quoted: string) => string; unset: (name: string) => string }>> = {
  bash: { set: (name, quoted) => `export ${name}=${quoted}`, unset: (name) => `unset ${name}` },
  fish: { set: (name, quoted) => `set -gx ${name} ${quoted}`, unset: (name) => `set -e ${name}` },
  powershell: {
    set: (name, quoted) => `$env:${name} = ${quoted}`,
    unset: (name) => `Remove-Item Env:${name} -ErrorAction SilentlyContinue`,
  },
  // A dotenv file can't unset; an empty value would be worse than a word to the reader.
  dotenv: { set: (name, quoted) => `${name}=${quoted}`, unset: (name) => `# unset ${name}` },
};

/**
 * The environment as lines for a shell to evaluate, or for a dotenv file.
 * @throws AlterError invalid_input (a name that is no variable name, a NUL in a value)
 */
export function formatExports(env: Exports, format: ExportFormat): string {
  const problems = [
    ...[...Object.keys(env.set), ...env.unset]
      .filter((name) => !VARIABLE_NAME.test(name))
      .map((name) => `${JSON.stringify(name)} is not a variable name`),
    ...Object.entries(env.set)
      .filter(([, value]) => value.includes('\0'))
      .map(([name]) => `the value of ${name} holds a NUL`),
  ];
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  const line = LINE[format];
  const lines = [
    ...env.unset.map((name) => line.unset(name)),
    ...Object.entries(env.set).map(([name, value]) => line.set(name, QUOTE[format](value))),
  ];
  return `${lines.join('\n')}\n`;
}
