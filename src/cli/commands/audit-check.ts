/** `alterd audit verify`, `export`, `checkpoints` and `key`: what lets others check the journal, with and without the daemon. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createReadStream, createWriteStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { CheckpointView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import { checkpointLineOf } from '../../journal/checkpoint.ts';
import { type OfflineResult, readCheckpoints, verifyExport } from '../../journal/offline-verify.ts';
import { type FilterFlags, filterOf, withFilters } from '../audit-filter.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import type { Column } from '../output.ts';

interface Verification {
  readonly ok: boolean;
  readonly rows: number;
  readonly first_bad?: number;
  readonly reason?: string;
  readonly head_hash: string;
}

interface VerifyFlags {
  readonly export?: string;
  readonly publicKey?: string;
  readonly checkpoints?: string;
  readonly partial?: boolean;
}

export function defineVerify(command: Command, cli: Cli): void {
  const verify = command
    .command('verify')
    .description('check that no entry was changed, removed or reordered: the journal of the daemon, or an export without it')
    .option('--export <file>', 'check this export (JSON lines) instead; needs no daemon')
    .option('--public-key <file>', 'hold it against checkpoints signed by this key (`alterd audit key`)')
    .option('--checkpoints <file>', 'checkpoints kept elsewhere (`alterd audit checkpoints`), besides those in the export')
    .option('--partial', 'the export is a part on purpose: only what lies within it counts');
  example(verify, 'alterd audit verify --export audit.jsonl --public-key audit.pub --checkpoints kept-elsewhere.jsonl').action(
    async (flags: VerifyFlags) => {
      const isBare = flags.publicKey === undefined && flags.checkpoints === undefined && flags.partial === undefined;
      if (flags.export !== undefined) return verifyFile(cli, flags.export, flags);
      if (isBare) return verifyOnline(cli);
      throw new AlterError('invalid_input', { problems: ['--public-key, --checkpoints and --partial go with --export FILE'] });
    },
  );
}

async function verifyOnline(cli: Cli): Promise<void> {
  const result = await cli.client().send<Verification>(apiPath('audit', 'verify'));
  cli.output.record(result, [
    ['chain', result.ok ? 'whole' : 'BROKEN'],
    ['entries', result.rows],
    ['first bad', result.first_bad],
    ['reason', result.reason],
    ['head', result.head_hash],
  ]);
  if (!result.ok) fail(cli, result.first_bad, result.reason);
}

async function verifyFile(cli: Cli, file: string, flags: VerifyFlags): Promise<void> {
  const publicKey = flags.publicKey === undefined ? null : readPublicKey(flags.publicKey);
  if (publicKey === null && flags.checkpoints !== undefined)
    throw new AlterError('invalid_input', {
      problems: ['--checkpoints needs --public-key: without it a signature proves nothing'],
    });
  const checkpoints = publicKey === null ? [] : await readCheckpoints(linesOf(file));
  if (flags.checkpoints !== undefined) {
    const kept = await readCheckpoints(linesOf(flags.checkpoints));
    if (kept.length === 0) throw new AlterError('invalid_input', { problems: [`${flags.checkpoints} holds no checkpoint`] });
    checkpoints.push(...kept);
  }
  const result = await verifyExport(linesOf(file), checkpoints, { publicKey, partial: flags.partial === true });
  // SECURITY: a key was given, so a signature is expected; a file without any must not pass as checked.
  const isUnsigned = result.ok && publicKey !== null && result.checkpoints === 0;
  cli.output.record(viewOf(result, isUnsigned), [
    ['chain', result.ok ? 'whole' : 'BROKEN'],
    ['entries', result.rows],
    ['from', result.firstN],
    ['to', result.lastN],
    ['checkpoints', publicKey === null ? null : result.checkpoints],
    ['signed up to', result.signedUpTo],
    ['first bad', result.firstBad],
    ['reason', result.reason],
    ['head', result.headHash],
  ]);
  if (!result.ok) return fail(cli, result.firstBad, result.reason);
  if (isUnsigned) {
    cli.output.error('no checkpoint speaks of these rows: nothing shows whether the whole chain was computed anew');
    throw new ExitStatus(EXIT.error);
  }
  if (publicKey === null) cli.output.warn('without --public-key a cut tail, and a chain that was computed anew, can not be told');
  else if (result.signedUpTo !== result.lastN)
    cli.output.warn(
      `rows after ${result.signedUpTo} are covered by no signature yet: nothing shows whether more of them followed`,
    );
}

const viewOf = (result: OfflineResult, isUnsigned: boolean): object => ({
  ok: result.ok && !isUnsigned,
  rows: result.rows,
  first_n: result.firstN,
  last_n: result.lastN,
  checkpoints: result.checkpoints,
  signed_up_to: result.signedUpTo,
  first_bad: result.firstBad,
  reason: result.reason,
  head_hash: result.headHash,
});

function fail(cli: Cli, firstBad: number | undefined, reason: string | undefined): never {
  cli.output.error(`the chain is broken at ${firstBad ?? 'an unknown place'}: ${reason ?? 'unknown'}`);
  throw new ExitStatus(EXIT.error);
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const input = createReadStream(file, { encoding: 'latin1' });
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function readPublicKey(file: string): KeyObject {
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (cause) {
    throw unreadable(file, cause);
  }
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ed25519' && pem.includes('PUBLIC KEY')) return key;
  } catch {
    // Told below like a key of another kind.
  }
  throw new AlterError('invalid_input', { problems: [`${file} is no Ed25519 public key in PEM`] });
}

const unreadable = (file: string, cause: unknown): AlterError =>
  new AlterError(
    'invalid_input',
    { problems: [`${file} can't be read (${(cause as NodeJS.ErrnoException).code ?? cause})`] },
    { cause },
  );

export function defineExport(command: Command, cli: Cli): void {
  const exported = command
    .command('export')
    .description('every matching entry, oldest first, as JSON lines (which `verify --export` checks) or CSV')
    .addOption(new Option('--format <format>', 'form of the export').choices(['jsonl', 'csv']).default('jsonl'))
    .option('--bodies', 'a line with the bodies behind each row that has them; leaves a row of its own')
    .option('--file <path>', 'write to a new file instead of stdout');
  example(withFilters(exported), 'alterd audit export --format csv --since 30d --file audit.csv').action(
    async (flags: FilterFlags & { format: string; file?: string; bodies?: boolean }) => {
      const parts = cli
        .client()
        .stream(apiPath('audit', 'export'), { ...filterOf(flags), format: flags.format, bodies: flags.bodies });
      if (flags.file === undefined) return pipeline(parts, process.stdout, { end: false });
      // Never over a file that is there.
      await pipeline(parts, createWriteStream(flags.file, { flags: 'wx', mode: 0o600 }));
      cli.output.note(`Written to ${flags.file}.`);
    },
  );
}

const CHECKPOINT_COLUMNS: readonly Column<CheckpointView>[] = [
  { header: 'TIME', cell: ({ at }) => new Date(at).toISOString() },
  { header: 'ROW', cell: ({ n }) => n },
  { header: 'ROWS KEPT', cell: ({ rows }) => rows },
  { header: 'KEY', cell: ({ key }) => key },
  { header: 'HASH', cell: ({ hash }) => hash },
];

export function defineCheckpoints(command: Command, cli: Cli): void {
  const checkpoints = command
    .command('checkpoints')
    .description('what this installation signed of the journal, the state of this moment included; keep it elsewhere')
    .option('--file <path>', 'write them as JSON lines to a new file');
  example(checkpoints, 'alterd audit checkpoints --file checkpoints.jsonl').action(async ({ file }: { file?: string }) => {
    const { checkpoints: all } = await cli.client().read<{ checkpoints: CheckpointView[] }>(apiPath('audit', 'checkpoints'));
    if (file === undefined) return cli.output.list(all, CHECKPOINT_COLUMNS, 'Nothing is signed yet.');
    const lines = all.map((each) => `${checkpointLineOf(each)}\n`);
    await pipeline(lines, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
    cli.output.note(`${lines.length} checkpoints written to ${file}.`);
  });
}

export function defineKey(command: Command, cli: Cli): void {
  const key = command.command('key').description('the public key that checkpoints are checked with, as PEM; keep it elsewhere');
  example(key, 'alterd audit key > audit.pub').action(async () => {
    const { public_key } = await cli.client().read<{ public_key: string | null }>(apiPath('audit', 'key'));
    if (public_key === null) throw new AlterError('not_found', { what: 'signing key', name: 'audit' });
    if (cli.output.format === 'table') cli.output.raw(public_key);
    else cli.output.record({ public_key }, []);
  });
}
