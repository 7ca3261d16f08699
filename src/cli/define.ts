/** Small words for defining commands alike. */
import type { Command } from 'commander';

/** Every `--help` ends with one line that can be pasted. */
export const example = (command: Command, line: string): Command => command.addHelpText('after', `\nExample:\n  ${line}`);

/** For options that may be repeated. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** For options that take a list with commas and may be repeated. */
export const collectList = (value: string, before: readonly string[] = []): string[] => [
  ...before,
  ...value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
];
