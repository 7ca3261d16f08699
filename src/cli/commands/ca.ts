/** `alterd ca`: the local certificate authority. Its private key never leaves the daemon. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { CaView } from '../../api/ca.ts';
import { apiPath } from '../../api/client.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

const readCa = (cli: Cli): Promise<CaView> => cli.client().read<CaView>(apiPath('ca'));

export function defineCa(command: Command, cli: Cli): void {
  const show = command.command('show').description('fingerprint, validity and files');
  example(show, 'alterd ca show').action(async () => showCa(cli, await readCa(cli)));
  definePrinting(command, cli);
  defineRotate(command, cli);
  defineTrust(command, cli);
  example(command, 'alterd ca export > alterd-ca.pem');
}

function showCa(cli: Cli, ca: CaView): void {
  cli.output.record(ca, [
    ['subject', ca.subject],
    ['sha256', ca.fingerprint_sha256],
    ['valid from', ca.not_before],
    ['valid until', ca.not_after],
    ['certificate', ca.ca_file],
    ['bundle', ca.bundle_file],
  ]);
}

function definePrinting(command: Command, cli: Cli): void {
  const exported = command
    .command('export')
    .description('the certificate as PEM')
    .option('--file <path>', 'write to a new file instead of stdout');
  example(exported, 'alterd ca export > alterd-ca.pem').action(async (flags: { file?: string }) => {
    const { pem } = await readCa(cli);
    put(cli, pem.endsWith('\n') ? pem : `${pem}\n`, flags.file);
  });
  const bundle = command
    .command('bundle')
    .description('system roots and the certificate in one PEM, for clients whose setting replaces their roots')
    .option('--file <path>', 'write to a new file instead of stdout');
  example(bundle, 'alterd ca bundle > bundle.pem').action(async (flags: { file?: string }) => {
    const { bundle_file } = await readCa(cli);
    put(cli, readFileSync(bundle_file, 'utf8'), flags.file);
  });
}

function put(cli: Cli, text: string, file: string | undefined): void {
  if (file === undefined) {
    cli.output.raw(text);
    return;
  }
  if (existsSync(file)) throw new AlterError('conflict', { reason: `${file} is there already`, hint: 'Choose another file.' });
  writeFileSync(file, text, { flag: 'wx', mode: 0o644 });
  cli.output.note(`Written to ${file}.`);
}

function defineRotate(command: Command, cli: Cli): void {
  const rotate = command.command('rotate').description('a new CA in place of the old one');
  example(rotate, 'alterd ca rotate --yes').action(async () => {
    await cli.confirm('Make a new CA? Whatever was told to trust the old one by hand has to be told again.');
    showCa(cli, await cli.client().send<CaView>(apiPath('ca', 'rotate')));
    cli.output.hint('Commands that `alterd run` starts from now on trust it by themselves; start running ones anew.');
  });
}

function defineTrust(command: Command, cli: Cli): void {
  const trust = command
    .command('trust')
    .description("put the CA into the machine's trust store; alterd never does it by itself")
    .option('--system', "the operating system's store (needs root)")
    .option('--remove', 'take it out again');
  example(trust, 'sudo alterd ca trust --system').action(async (flags: { system?: boolean; remove?: boolean }) => {
    if (flags.system !== true) {
      throw new AlterError(
        'invalid_input',
        { problems: ['--system says that the whole machine shall trust it'] },
        { hint: '`alterd run` and `alterd env` need no such trust.' },
      );
    }
    const { pem } = await readCa(cli);
    const ca = { certPem: pem, keyId: await keyIdOf(pem) };
    const { installSystemTrust, removeSystemTrust } = await import('../../ca/system-store.ts');
    if (flags.remove !== true)
      await cli.confirm('From then on every program of this machine believes what this CA signs. Go on?');
    const result = flags.remove === true ? await removeSystemTrust(ca) : await installSystemTrust(ca);
    cli.output.record(result, [
      ['file', result.file],
      ['changed', result.changed ? 'yes' : 'no, it was so already'],
      ['ran', result.command],
    ]);
    if (flags.remove !== true) cli.output.hint('Take it out again with `alterd ca trust --system --remove`.');
  });
}

async function keyIdOf(pem: string): Promise<Buffer> {
  const [{ X509Certificate }, certificate] = await Promise.all([import('node:crypto'), import('../../ca/certificate.ts')]);
  return certificate.keyIdOf(new X509Certificate(pem).publicKey);
}
