/** Completion scripts from a command tree. Pure: they complete words of the tree and never run anything of alterd. */
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type CompletionShell = (typeof SHELLS)[number];

export interface CommandNode {
  /** Words from the program's name, `alterd agent create`. */
  readonly path: readonly string[];
  readonly names: readonly string[];
  readonly summary: string;
  readonly options: readonly {
    readonly flag: string;
    readonly summary: string;
    readonly takesValue: boolean;
    readonly choices: readonly string[];
  }[];
  readonly children: readonly CommandNode[];
}

/** Everything that can be completed, with the global options at each place. */
export function treeOf(program: Command): CommandNode {
  return nodeOf(program, [program.name()], program);
}

function nodeOf(command: Command, path: readonly string[], program: Command): CommandNode {
  const options = command === program ? program.options : [...command.options, ...program.options];
  return {
    path,
    names: [command.name(), ...command.aliases()],
    summary: command.description(),
    options: [
      ...options.map((option) => ({
        flag: option.long ?? option.short ?? '',
        summary: option.description,
        takesValue: option.required || option.optional,
        choices: option.argChoices ?? [],
      })),
      { flag: '--help', summary: 'print help', takesValue: false, choices: [] },
    ],
    children: command.commands.map((child) => nodeOf(child, [...path, child.name()], program)),
  };
}

/** The script to source. */
export const completionScript = (shell: CompletionShell, tree: CommandNode): string => WRITERS[shell](tree);

const WRITERS: Readonly<Record<CompletionShell, (tree: CommandNode) => string>> = { bash, zsh, fish };

const flatten = (node: CommandNode): CommandNode[] => [node, ...node.children.flatMap(flatten)];
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** A `case` that follows the words to the place in the tree; shared by bash and zsh. */
function stepCases(tree: CommandNode): string {
  return flatten(tree)
    .flatMap((node) =>
      node.children.map(
        (child) => `      ${quoteAll(child.names.map((name) => `${key(node)}:${name}`))}) at=${quote(key(child))} ;;`,
      ),
    )
    .join('\n');
}

const key = (node: CommandNode): string => node.path.join('_');
const quoteAll = (words: readonly string[]): string => words.map(quote).join('|');

function wordCases(tree: CommandNode): string {
  return flatten(tree)
    .map((node) => {
      const words = [...node.children.flatMap((child) => child.names), ...node.options.map((option) => option.flag)];
      return `    ${quote(key(node))}) words=${quote(words.join(' '))} ;;`;
    })
    .join('\n');
}

function valueCases(tree: CommandNode): string {
  const choices = new Map(
    flatten(tree).flatMap((node) =>
      node.options.filter((o) => o.choices.length > 0).map((o) => [o.flag, o.choices.join(' ')] as const),
    ),
  );
  return [...choices].map(([flag, words]) => `    ${quote(flag)}) words=${quote(words)} ;;`).join('\n');
}

function bash(tree: CommandNode): string {
  return `# bash completion for alterd
_alterd() {
  local at=${quote(key(tree))} words='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [ "\${COMP_WORDS[i]}" = '--' ] && { COMPREPLY=($(compgen -c -- "\${COMP_WORDS[COMP_CWORD]}")); return; }
    case "$at:\${COMP_WORDS[i]}" in
${stepCases(tree)}
    esac
  done
  case "$at" in
${wordCases(tree)}
  esac
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${valueCases(tree)}
    '--config'|'--file') COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _alterd alterd
`;
}

function zsh(tree: CommandNode): string {
  return `#compdef alterd
# zsh completion for alterd
_alterd() {
  local at=${quote(key(tree))} words_='' i
  for ((i = 2; i < CURRENT; i++)); do
    [[ "\${words[i]}" == '--' ]] && { _command_names; return }
    case "$at:\${words[i]}" in
${stepCases(tree)}
    esac
  done
  case "$at" in
${wordCases(tree).replaceAll(') words=', ') words_=')}
  esac
  case "\${words[CURRENT-1]}" in
${valueCases(tree).replaceAll(') words=', ') words_=')}
    '--config'|'--file') _files; return ;;
  esac
  compadd -- \${=words_}
}
if [ "$funcstack[1]" = '_alterd' ]; then _alterd "$@"; else compdef _alterd alterd; fi
`;
}

function fish(tree: CommandNode): string {
  const lines = flatten(tree).flatMap((node) => {
    const condition = quote(`__alterd_at ${key(node)}`);
    const commands = node.children.flatMap((child) =>
      child.names.map((name) => `complete -c alterd -f -n ${condition} -a ${quote(name)} -d ${quote(child.summary)}`),
    );
    const options = node.options.map((option) => {
      const value = option.choices.length > 0 ? ` -x -a ${quote(option.choices.join(' '))}` : option.takesValue ? ' -r' : '';
      return `complete -c alterd -n ${condition} -l ${quote(option.flag.replace(/^--/, ''))}${value} -d ${quote(option.summary)}`;
    });
    return [...commands, ...options];
  });
  const steps = flatten(tree).flatMap((node) =>
    node.children.map(
      (child) =>
        `      case ${child.names.map((name) => quote(`${key(node)}:${name}`)).join(' ')}\n        set at ${quote(key(child))}`,
    ),
  );
  return `# fish completion for alterd
function __alterd_at
  set -l at ${quote(key(tree))}
  for word in (commandline -opc)[2..-1]
    switch "$at:$word"
${steps.join('\n')}
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}
