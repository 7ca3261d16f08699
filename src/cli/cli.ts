/** What a command has at hand: its global options, its output, the daemon's client, the files of this installation. */
import type { Command } from 'commander';
import { type ApiClient, openClient } from '../api/client.ts';
import { type Paths, resolvePaths } from '../config/paths.ts';
import { createOutput, type Format, type Output, type OutputOptions } from './output.ts';
import { confirm } from './prompt.ts';

export interface GlobalOptions {
  readonly home?: string;
  readonly config?: string;
  readonly output?: Format;
  readonly yes?: boolean;
  readonly quiet?: boolean;
}

export interface Cli {
  /** The words of the command line. */
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly globals: GlobalOptions;
  readonly output: Output;
  /** @throws AlterError invalid_input */
  paths(): Paths;
  client(): ApiClient;
  /** @throws AlterError invalid_input, Cancelled */
  confirm(question: string): Promise<void>;
  /** The program with every command defined. */
  wholeTree(): Promise<Command>;
}

/** What a command line starts with, and where its data and messages go. */
export interface Surroundings extends Pick<OutputOptions, 'stdout' | 'stderr'> {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** Reads the global options when they are first needed: commands are defined before anything is parsed. */
export function openCli(
  readGlobals: () => GlobalOptions,
  wholeTree: () => Promise<Command>,
  { argv, env, stdout, stderr }: Surroundings,
): Cli {
  let output: Output | undefined;
  const paths = (): Paths => resolvePaths({ home: readGlobals().home, env });
  return {
    argv,
    env,
    wholeTree,
    get globals() {
      return readGlobals();
    },
    get output() {
      const { output: format, quiet } = readGlobals();
      output ??= createOutput({ format: format ?? 'table', quiet: quiet === true, stdout, stderr, env });
      return output;
    },
    paths,
    // ALTERD_SOCKET names the daemon for processes that know nothing else of the installation; --home is more explicit.
    client: () => openClient(readGlobals().home === undefined && env.ALTERD_SOCKET ? env.ALTERD_SOCKET : paths().apiSocket),
    confirm: (question) => confirm(question, readGlobals().yes === true),
  };
}
