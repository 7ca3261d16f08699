import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/command-table.ts';
import { type CommandNode, completionScript, SHELLS, treeOf } from '../../../src/cli/completion.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const program = () => buildProgram({ argv: [], env: {}, stdout: new PassThrough(), stderr: new PassThrough() });
let tree: CommandNode;

beforeAll(async () => {
  tree = treeOf(await program().cli.wholeTree());
});

const leaves = (node: CommandNode): CommandNode[] => (node.children.length === 0 ? [node] : node.children.flatMap(leaves));

test('every command of the table is in the tree, each leaf with --help and the global options', () => {
  expect(tree.children.map((child) => child.names[0])).toEqual(COMMANDS.map((entry) => entry.name));
  for (const leaf of leaves(tree)) {
    const flags = leaf.options.map((option) => option.flag);
    expect(flags, leaf.path.join(' ')).toEqual(expect.arrayContaining(['--help', '--output', '--home']));
  }
});

test('every help ends with an example of that very command', async () => {
  const whole = await program().cli.wholeTree();
  const check = (command: typeof whole, path: string): void => {
    let text = '';
    command.configureOutput({ writeOut: (part) => (text += part) });
    command.outputHelp();
    expect(text.trimEnd().split('\n').at(-1), path).toMatch(/^ {2}.*alterd /);
    for (const child of command.commands) check(child, `${path} ${child.name()}`);
  };
  check(whole, 'alterd');
});

test.each(SHELLS)('the %s script names every command and alias', (shell) => {
  const script = completionScript(shell, tree);
  for (const entry of COMMANDS) expect(script).toContain(entry.name);
  for (const alias of ['agents', 'secrets', 'grants', 'providers']) expect(script).toContain(alias);
});

describe('bash completes', () => {
  const complete = (...words: string[]): string[] => {
    const file = join(directory(), 'completion.bash');
    writeFileSync(file, completionScript('bash', tree));
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const script = `source ${file}; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _alterd; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const ended = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    expect(ended.stderr).toBe('');
    return ended.stdout.split('\n').filter(Boolean);
  };

  test.each([
    ['nouns', ['alterd', 'pro'], ['provider', 'providers']],
    ['verbs', ['alterd', 'agent', 're'], ['resume', 'revoke', 'remove']],
    ['verbs after an alias', ['alterd', 'agents', 'cre'], ['create']],
    ['verbs after a global option', ['alterd', '--quiet', 'grant', 'sh'], ['show']],
    ['verbs of a nested noun', ['alterd', 'agent', 'key', 'rot'], ['rotate']],
    ['options', ['alterd', 'grant', 'create', '--allow'], ['--allow-private', '--allow-plaintext']],
    ['values of an option', ['alterd', '--output', 'json'], ['json', 'jsonl']],
  ])('%s', (_name, words, expected) => {
    expect(complete(...words)).toEqual(expected);
  });
});
