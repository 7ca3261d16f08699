/**
 * The daemon as people run it, `bin/alterd start` with everything on: identify, resolve, decide, audit, inject, scrub. Its vault
 * is made by its own CLI and kept, so that each later start is one with an existing vault.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { enrollHome } from '../fleet/lent-home.ts';
import { DOMAIN, HOSTS, hostNumber, TOKEN } from '../names.ts';
import { freePort, launch, type Prepared, type Running, type Surroundings, type Target, throughConnect } from './target.ts';

const ALTERD = fileURLToPath(new URL('../../../bin/alterd', import.meta.url));
const AGENT = 'bench';

function configOf({ keysDir, originPort }: Surroundings): string {
  const resolve = Array.from({ length: HOSTS }, (_, n) => `"${hostNumber(n)}:${originPort}" = "127.0.0.1:${originPort}"`);
  return [
    '[log]\nlevel = "warn"',
    '[limits]\ntunnels_per_agent = 4096',
    `[upstream]\nca_file = "${join(keysDir, 'origin-ca.crt')}"\nresolve = { ${resolve.join(', ')} }\n`,
  ].join('\n');
}

function runCli(program: string, home: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(process.execPath, [program, '--home', home, ...args], {
    env: { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let out = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) =>
      status === 0 ? resolve(out) : reject(new Error(`alterd ${args.slice(0, 2).join(' ')} ended with ${status}: ${errors}`)),
    );
  });
}

interface Variant {
  readonly name: string;
  readonly note: string;
  readonly program: string;
  readonly grantFlags: readonly string[];
  readonly only?: Pick<Target, 'tests' | 'authorization'>;
  /** What is in the home before the first start. */
  readonly furnish?: (home: string, surroundings: Surroundings) => void;
  /** Its grants are those of a central vault. */
  readonly isLent?: boolean;
  /** Another way to a grant for the agent than a stored bearer token. */
  readonly grant?: (cli: Cli, host: string, home: string, grantFlags: readonly string[]) => Promise<void>;
  absent(): string | null;
}

type Cli = (args: readonly string[], input?: string) => Promise<string>;

const hostsOf = ({ originPort }: Surroundings): string => `*.${DOMAIN}:${originPort}`;

const grantStored = (cli: Cli, grantFlags: readonly string[]): Promise<unknown> =>
  cli(['grant', 'create', 'bench', '--agent', AGENT, '--allow-private', ...grantFlags]);

async function grantBearer(cli: Cli, host: string, _home: string, grantFlags: readonly string[]): Promise<void> {
  await cli(['secret', 'add', 'bearer', '--name', 'bench', '--host', host, '--token-stdin'], TOKEN);
  await grantStored(cli, grantFlags);
}

async function grantSigV4(cli: Cli, host: string, home: string, grantFlags: readonly string[]): Promise<void> {
  const idFile = join(home, 'key-id.txt');
  writeFileSync(idFile, 'AKIABENCHBENCHBENCH0');
  const fields = ['--access-key-id-file', idFile, '--field', 'region=eu-central-1', '--field', 'service=execute-api'];
  const add = ['secret', 'add', 'aws', '--name', 'bench', '--host', host, '--secret-access-key-stdin', ...fields];
  await cli(add, TOKEN);
  await grantStored(cli, grantFlags);
}

async function grantConnected(cli: Cli): Promise<void> {
  await cli(['provider', 'client', 'set', 'benchoauth', '--client-id', 'bench', '--client-secret-stdin'], 'SEKRET-marker-client');
  await cli(['connect', 'benchoauth', '--client-credentials', '--agent', AGENT, '--allow-private']);
}

function writeProvider(home: string, surroundings: Surroundings): void {
  const dir = join(home, 'config', 'providers');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const lines = [
    'slug = "benchoauth"\nname = "Bench"\nkind = "oauth"\nevidence = "general"',
    `hosts = ["${hostsOf(surroundings)}"]`,
    `[oauth]\ntoken_url = "https://${hostNumber(1)}:${surroundings.originPort}/token"\n`,
  ];
  writeFileSync(join(dir, 'benchoauth.toml'), lines.join('\n'), { mode: 0o600 });
}

function alterdTarget({ name, note, program, grantFlags, only, furnish, isLent, grant = grantBearer, absent }: Variant): Target {
  return {
    ...only,
    name,
    note,
    injects: true,
    http2: true,
    absent,
    prepare: async (surroundings, dir) => {
      const home = join(dir, 'home');
      mkdirSync(join(home, 'config'), { recursive: true, mode: 0o700 });
      writeFileSync(join(home, 'config', 'alterd.toml'), configOf(surroundings));
      furnish?.(home, surroundings);
      let authorization = '';
      const start = async (): Promise<Running> => {
        const port = await freePort();
        const started = await launch(
          [
            process.execPath,
            ...(process.env.BENCH_NODE_ARGS?.split(' ') ?? []),
            program,
            '--home',
            home,
            'start',
            '--listen',
            `127.0.0.1:${port}`,
          ],
          port,
          dir,
        );
        return { ...started, via: throughConnect(port, authorization), caFile: join(home, 'state', 'ca', 'ca.crt') };
      };
      const fill = async (vaultHome: string): Promise<void> => {
        const cli: Cli = (args, input) => runCli(program, vaultHome, args, input);
        const agent = await cli(['--output', 'json', 'agent', 'create', AGENT]);
        await grant(cli, hostsOf(surroundings), vaultHome, grantFlags);
        const { key } = JSON.parse(agent) as { key: string };
        authorization = `Basic ${Buffer.from(`${AGENT}:${key}`).toString('base64')}`;
      };
      if (isLent === true) await enrollHome(home, AGENT, fill);
      else {
        const first = await start();
        try {
          await fill(home);
        } finally {
          await first.stop();
        }
      }
      return { launch: start } satisfies Prepared;
    },
  };
}

export const alterd = alterdTarget({
  name: 'alterd',
  note: 'everything on',
  program: ALTERD,
  grantFlags: [],
  absent: () => null,
});

const NO_SCRUB = '--no-scrub';
/** `bin/alterd` of another checkout, already built: one without scrubbing, while no grant can switch it off. */
const OTHER = process.env.BENCH_NO_SCRUB_ALTERD ?? '';

/** The same with answers passed on as they are, to show what scrubbing costs. */
export const alterdNoScrub = alterdTarget({
  name: 'alterd-no-scrub',
  note: 'the same without scrubbing answers',
  program: OTHER === '' ? ALTERD : OTHER,
  grantFlags: OTHER === '' ? [NO_SCRUB] : [],
  absent: () => {
    if (OTHER !== '') return existsSync(OTHER) ? null : `${OTHER} does not exist`;
    const help = spawnSync(process.execPath, [ALTERD, 'grant', 'create', '--help'], { encoding: 'utf8' });
    if (help.stdout.includes(NO_SCRUB)) return null;
    return `\`grant create\` has no ${NO_SCRUB}, and BENCH_NO_SCRUB_ALTERD names no build without scrubbing`;
  },
});

/** The same with a connected account, whose access token is in memory. */
export const alterdOAuth = alterdTarget({
  name: 'alterd-oauth',
  note: 'the same with a connected account',
  program: ALTERD,
  grantFlags: [],
  only: { tests: ['check', 'warm', 'ka64'] },
  furnish: writeProvider,
  grant: grantConnected,
  absent: () => null,
});

/** The same with a signature over every request. */
export const alterdSigV4 = alterdTarget({
  name: 'alterd-sigv4',
  note: 'the same with AWS signatures',
  program: ALTERD,
  grantFlags: [],
  only: {
    tests: ['check', 'warm', 'ka64'],
    authorization: /^AWS4-HMAC-SHA256 Credential=AKIABENCHBENCHBENCH0\/\d{8}\/eu-central-1\/execute-api\/aws4_request, /,
  },
  grant: grantSigV4,
  absent: () => null,
});

/** The same on a host of a central vault, with its lease in memory. */
export const alterdLease = alterdTarget({
  name: 'alterd-lease',
  note: 'the same on a host of a central vault, with a warm lease',
  program: ALTERD,
  grantFlags: [],
  only: { tests: ['check', 'warm', 'ka64'] },
  isLent: true,
  absent: () => null,
});
