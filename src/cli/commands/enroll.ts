/**
 * `alterd enroll`: makes this machine borrow from a central vault. Works without the daemon; begun again it is harmless.
 * SECURITY: the token comes from a prompt, stdin or a file, never from the command line, which every process of the machine can read.
 */

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { AlterError } from '../../domain/errors.ts';
import { Secret } from '../../domain/secret.ts';
import { VERSION } from '../../runtime/version.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { askSecret } from '../prompt.ts';
import { configFileOf, loadSettings } from '../settings.ts';

interface EnrollFlags {
  readonly fingerprint?: string;
  readonly caFile?: string;
  readonly tokenStdin?: boolean;
  readonly tokenFile?: string;
  readonly rekey?: boolean;
}

export function defineEnroll(command: Command, cli: Cli): void {
  command
    .argument('[url]', 'the vault, as `alterd vault host invite` printed it')
    .option('--fingerprint <sha256>', "of the vault's authority, from the invitation")
    .option('--ca-file <path>', "the vault's authority as a PEM file, in place of its fingerprint")
    .option('--token-stdin', 'read the token from stdin')
    .option('--token-file <path>', 'read the token from a file')
    .option('--rekey', 'change the keys of a host that is enrolled');
  example(command, 'alterd enroll https://vault.example.com:4790 --fingerprint AB:CD:…').action(
    async (url: string | undefined, flags: EnrollFlags) => {
      const paths = cli.paths();
      const { config } = loadSettings(cli, paths, {});
      // Loaded only here: no other command needs it.
      const { enrollInstallation, rekeyInstallation } = await import('../../enrolled-host.ts');
      const version = VERSION;
      if (flags.rekey === true) {
        const answer = await rekeyInstallation({ paths, config, version });
        cli.output.record(answer, [['host', answer.host_name]]);
        cli.output.hint('Restart the daemon: it still has the keys of before in memory.');
        return;
      }
      const host = await enrollInstallation({
        ...{ paths, config, version, configFile: configFileOf(cli, paths).file },
        ...{ url: originOf(url), authority: await authorityOf(flags), token: await tokenOf(flags) },
      });
      cli.output.record(
        { ...host, configFile: undefined, config_file: host.configFile, ca_file: host.caFile, caFile: undefined },
        [
          ['host', host.host_name],
          ['id', host.host_id],
          ['vault', host.url],
          ['configuration', host.configFile],
          ['authority', host.caFile],
        ],
      );
      cli.output.hint('Start the daemon, or restart it: `alterd start`. What it may use is decided at the vault.');
    },
  );
}

/** @throws AlterError invalid_input */
function originOf(text: string | undefined): string {
  if (text === undefined)
    throw invalid('the URL of the vault is missing', 'An operator prints the whole line: `alterd vault host invite NAME`.');
  try {
    const url = new URL(text);
    if (url.protocol === 'https:' && url.pathname === '/' && url.search === '' && url.username === '') return url.origin;
  } catch {
    // Told below.
  }
  throw invalid(`${JSON.stringify(text)} is not the URL of a vault`, 'It is written like https://vault.example.com:4790.');
}

async function authorityOf({ fingerprint, caFile }: EnrollFlags): Promise<{ fingerprint: string } | { file: string }> {
  if (caFile !== undefined) return { file: caFile };
  // SECURITY: without one of the two whoever stands between could be the vault; there is no trust on first use.
  if (fingerprint === undefined)
    throw invalid('--fingerprint is missing', 'It stands in the invitation: `alterd vault host invite NAME` at the vault.');
  const { readFingerprint } = await import('../../vault-client/pinning.ts');
  const read = readFingerprint(fingerprint);
  if (read === null) throw invalid('--fingerprint is not a SHA-256 fingerprint: 32 bytes in hexadecimal');
  return { fingerprint: read };
}

async function tokenOf({ tokenStdin, tokenFile }: EnrollFlags): Promise<Secret> {
  if (tokenStdin !== true && tokenFile === undefined)
    return askSecret('Enrolment token', 'Give it with --token-stdin or --token-file PATH.');
  const from = tokenFile ?? 'stdin';
  try {
    const text = readFileSync(tokenFile ?? 0, 'utf8').trim();
    if (text !== '') return new Secret(text);
  } catch (cause) {
    throw invalid(`${from} can't be read (${(cause as NodeJS.ErrnoException).code})`);
  }
  throw invalid(`${from} has no token`);
}

const invalid = (problem: string, hint?: string): AlterError =>
  new AlterError('invalid_input', { problems: [problem] }, hint === undefined ? {} : { hint });
