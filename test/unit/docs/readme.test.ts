/** The README says what the code does: its tables are made from the code, and its picture is what the program prints. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type CommandNode, treeOf } from '../../../src/cli/completion.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import type { ErrorSpec } from '../../../src/domain/error-spec.ts';
import { ERRORS } from '../../../src/domain/errors.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { blockOf, expectBlock, ROOT, table, textOf } from './documents.ts';

test('has at most 200 lines', () => {
  expect(textOf('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(200);
});

test('names every command, and what it is for', async () => {
  const program = buildProgram({ argv: [], env: {}, stdout: new PassThrough(), stderr: new PassThrough() });
  const verbs = ({ names, children }: CommandNode): string =>
    children.length === 0 ? String(names[0]) : `${names[0]} ${children.map(verbs).join(' · ')}`;
  const commands = treeOf(await program.cli.wholeTree()).children;
  const alone = commands.filter(({ children }) => children.length === 0);
  const rows = commands
    .filter(({ children }) => children.length > 0)
    .map(({ names, children, summary }) => [
      `\`alterd ${names[0]}\``,
      children.map((child) => `\`${verbs(child)}\``).join(' '),
      summary,
    ]);
  const text = alone.map(({ names, summary }) => `\`alterd ${names[0]}\`: ${summary}`).join(' · ');
  expect(alone.length + rows.length).toBe(commands.length);
  expectBlock('README.md', 'commands', `${text}\n\n${table(['command', 'verbs', 'for'], rows)}`);
});

/** Whether the code is raised anywhere: the table has a few that later parts will raise. */
function isRaised(): (code: string) => boolean {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'));
  const raised = new Set(sources.flatMap((text) => [...text.matchAll(/AlterError\(\s*'(\w+)'/g)].map((match) => match[1])));
  return (code) => raised.has(code);
}

test('names every error code with its statuses and what to do', () => {
  // Hints are told with words in capitals where a refusal names the thing itself.
  const details = {
    candidates: [],
    problems: [],
    approval_id: 'ID',
    grant_id: 'ID',
    provider_id: 'PROVIDER',
  } as never;
  const raised = isRaised();
  const rows = Object.entries(ERRORS as Record<string, ErrorSpec<never>>).map(([code, spec]) => [
    raised(code) ? `\`${code}\`` : `\`${code}\` (reserved)`,
    spec.proxyStatus === null ? '–' : String(spec.proxyStatus),
    spec.apiStatus === null ? '–' : String(spec.apiStatus),
    spec.title,
    spec.hint(details) ?? '–',
  ]);
  expect(textOf('README.md')).toContain('](src/domain/ERRORS.md)');
  expectBlock('src/domain/ERRORS.md', 'errors', table(['code', 'proxy', 'API', 'means', 'what to do'], rows));
});

describe('the table of dependencies', () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(textOf('package.json')) as Record<
    'dependencies' | 'devDependencies' | 'optionalDependencies',
    Record<string, string>
  >;
  const rows = textOf('README.md').split('## Dependencies')[1] ?? '';
  const named = [...rows.matchAll(/^\| (?!package|---)([^|]+) \|/gm)].flatMap((match) =>
    (match[1] ?? '')
      .replace(/\(.*\)/, '')
      .split(',')
      .map((name) => name.trim()),
  );

  test('names every package of package.json but the types, and no other', () => {
    const all = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
    expect(named.toSorted()).toEqual(all.filter((name) => !name.startsWith('@types/')).toSorted());
  });
});

test('shows what the demonstration prints', () => {
  const demo = spawnSync(process.execPath, [PROGRAM, 'demo'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect({ status: demo.status, stderr: demo.stderr }).toEqual({ status: 0, stderr: '' });
  const hasCurl = demo.stdout.includes('User-Agent: curl');
  if (!hasCurl) console.log('not present here: curl');
  const printed = demo.stdout.split('\n');
  let from = 0;
  for (const line of blockOf('README.md', 'demo').split('\n')) {
    // What another client than curl sends has other fields.
    if (line === '' || line.startsWith('```') || (!hasCurl && /GET|Host|Accept/.test(line))) continue;
    // An ellipsis stands for anything; runs of blanks depend on the longest cell of a column.
    const pattern = line
      .trim()
      .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll('…', '.*')
      .replace(/ {2,}|-{2,}/g, (run) => (run.startsWith('-') ? '-+' : ' +'));
    const at = printed.findIndex((each, i) => i >= from && new RegExp(`^${pattern}$`).test(each.trim()));
    expect(at, `${line} is not printed after line ${from}`).not.toBe(-1);
    from = at + 1;
  }
});
