/** What the documents refer to is there: files, tests, commands with their options, configuration keys, versions. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { type CommandNode, treeOf } from '../../../src/cli/completion.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import { KEY_PATHS } from '../../../src/config/schema.ts';
import { blockOf, DOCUMENTS, fencesOf, ROOT, textOf } from './documents.ts';

let tree: CommandNode;
beforeAll(async () => {
  tree = treeOf(await buildProgram({ argv: [], env: {}, stdout: new PassThrough(), stderr: new PassThrough() }).cli.wholeTree());
});

/** Why `alterd …` as written can't be run; null when it can. Words in capitals stand for values. */
function problemOf(words: readonly string[]): string | null {
  let node = tree;
  for (const word of words) {
    if (word === '--' || word === '-h') return null;
    if (word.startsWith('--')) {
      const flag = word.replace(/=.*/, '');
      if (!node.options.some((option) => option.flag === flag)) return `${node.path.join(' ')} has no ${flag}`;
      continue;
    }
    if (/^[a-z-]+(\|[a-z-]+)+$/.test(word) && node.children.length > 0) {
      // Several verbs at once, as in `alterd audit list|tail`.
      const { children } = node;
      const unknown = word.split('|').find((verb) => !children.some(({ names }) => names.includes(verb)));
      return unknown === undefined ? null : `${node.path.join(' ')} has no ${unknown}`;
    }
    const child = node.children.find(({ names }) => names.includes(word));
    if (child !== undefined) node = child;
    else if (node.children.length > 0 && /^[a-z]/.test(word)) return `${node.path.join(' ')} has no ${word}`;
  }
  return null;
}

/** Every command line of a document, in blocks and in code spans. */
function commandLines(text: string): string[] {
  const blocks = fencesOf(text).flatMap(({ language, text: code }) => (language === 'sh' ? code.split('\n') : []));
  const spans = [...text.replace(/^ *```[\s\S]*?^ *```$/gm, '').matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? '');
  return [...blocks, ...spans].flatMap((line) => {
    const match = /(?:^|\$\(|\s)(?:bin\/)?alterd ((?!-)[a-z].*)$/.exec(line.replace(/\s+#.*$/, ''));
    return match === null || /systemctl|journalctl|useradd|^sudo/.test(line) ? [] : [match[1] ?? ''];
  });
}

/** Events of the vault, and of the daemon itself. */
function auditEvents(): string[] {
  const daemon = readdirSync(join(ROOT, 'src', 'daemon')).map((name) => `src/daemon/${name}`);
  const text = ['src/vault/events.ts', 'src/daemon.ts', 'src/vault-server.ts', ...daemon].map(textOf).join('');
  return [...text.matchAll(/(?:event\(|\| )'([a-z_]+\.[a-z_]+)'/g)].map((match) => match[1] ?? '');
}

describe.each(DOCUMENTS)('%s', (file) => {
  const text = textOf(file);

  test('links to files that are there', () => {
    const targets = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
    const missing = targets.filter((target) => !/^https?:/.test(target) && !existsSync(join(ROOT, dirname(file), target)));
    expect(missing).toEqual([]);
  });

  test('names files of the repository that are there', () => {
    const named = [...text.matchAll(/`((?:src|test|config|bin|systemd|\.ci)\/[^`\s*]*)`/g)].map((match) => match[1] ?? '');
    expect(
      named.filter((path) => !/[A-Z]{3}/.test(path) && path !== 'config/providers/SLUG.toml' && !existsSync(join(ROOT, path))),
    ).toEqual([]);
  });

  test('names commands and options that are there', () => {
    const problems = commandLines(text).flatMap((line) => problemOf(line.replace(/[")]+$/, '').split(/\s+/)) ?? []);
    expect(problems).toEqual([]);
  });

  test('names configuration keys that are there', () => {
    const sections = new Set(KEY_PATHS.flatMap((path) => (path.includes('.') ? [path.split('.')[0]] : [])));
    const named = [...text.matchAll(/`([a-z]+\.(?!crt|ts|md|sock)[a-z_]+)(?: = [^`]*)?`/g)].map((match) => match[1] ?? '');
    // Audit events have names of the same shape.
    const known = new Set<string>([...KEY_PATHS, ...auditEvents()]);
    const wrong = named.filter((path) => sections.has(path.split('.')[0]) && !known.has(path));
    expect(wrong).toEqual([]);
  });
});

test('the commands that this reads are not none', () => {
  expect(commandLines(textOf('README.md')).length).toBeGreaterThan(10);
  expect(problemOf(['grant', 'create', 'github', '--agnet', 'x'])).toContain('--agnet');
  expect(problemOf(['grnat', 'create'])).toContain('grnat');
  expect(problemOf(['grant', 'list|creat'])).toContain('creat');
});

test('the changelog has the version of the package, or what is not released', () => {
  const { version } = JSON.parse(textOf('package.json')) as { version: string };
  expect(textOf('CHANGELOG.md')).toMatch(new RegExp(`^## \\[(Unreleased|${version.replaceAll('.', '\\.')})\\]`, 'm'));
});

test('the tests that a guarantee names are there', () => {
  for (const line of blockOf('SECURITY.md', 'guarantees').split('\n').slice(2)) {
    for (const [, path = ''] of line.matchAll(/`(test\/[^`]+)`/g)) expect(existsSync(join(ROOT, path)), path).toBe(true);
  }
});
