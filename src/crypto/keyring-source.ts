/**
 * The master key in the OS keyring. keytar is only ever loaded in a forked child with a kill timer: a stuck D-Bus wedges
 * the process that loads it beyond process.exit(). When keytar is not installed or fails, `secret-tool` reads the same entry.
 */
import { fork, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { AlterError } from '../domain/errors.ts';
import { ownModule } from '../runtime/root.ts';
import { formatKey, parseKey } from './key-text.ts';

export interface KeyringOptions {
  /** Each helper is killed after this time. */
  readonly timeoutMs?: number;
  /** Module that is forked; for tests. */
  readonly childFile?: string;
  readonly secretToolCommand?: string;
  readonly service?: string;
  readonly account?: string;
}

/** What the forked child is asked, and what it answers. */
export interface KeyringRequest {
  readonly service: string;
  readonly account: string;
  /** The text to store; absent to read. */
  readonly store?: string;
  /** Forget the entry. */
  readonly remove?: true;
}
export type KeyringAnswer = { readonly value: string | null } | { readonly failure: string };

const CHILD_FILE = fileURLToPath(ownModule('crypto/keyring-child'));

/** @throws AlterError vault_unavailable */
export async function readOrCreateKeyringKey(mayCreate: boolean, options: KeyringOptions = {}): Promise<Buffer> {
  const entry = entryOf(options);
  const found = await ask(entry, options);
  if (found !== null) return parseKey(Buffer.from(found, 'latin1'), 'the OS keyring');
  if (!mayCreate) {
    throw new AlterError(
      'vault_unavailable',
      { reason: 'the OS keyring has no entry for alterd' },
      {
        hint: `Unlock the right keyring and try again (\`secret-tool lookup service ${entry.service} account ${entry.account}\`).`,
      },
    );
  }
  const bytes = randomBytes(32);
  const text = formatKey(bytes);
  bytes.fill(0);
  await keep(entry, text, options);
  return parseKey(Buffer.from(text, 'latin1'), 'the OS keyring');
}

/** Where the next key waits during a rotation. */
export const nextKeyring = (options: KeyringOptions): KeyringOptions => ({ ...options, account: nextEntry(options).account });

/** @throws AlterError vault_unavailable */
export async function readNextKeyringKey(options: KeyringOptions = {}): Promise<Buffer | undefined> {
  const found = await ask(nextEntry(options), options);
  return found === null ? undefined : parseKey(Buffer.from(found, 'latin1'), 'the OS keyring');
}

/** The next key takes the place of the one of before. A crash in between leaves it in both places. @throws AlterError vault_unavailable */
export async function promoteKeyringKey(options: KeyringOptions = {}): Promise<void> {
  const text = await ask(nextEntry(options), options);
  if (text === null) return;
  await keep(entryOf(options), text, options);
  await dropNextKeyringKey(options);
}

/** Forgets a key that waits. @throws AlterError vault_unavailable */
export async function dropNextKeyringKey(options: KeyringOptions = {}): Promise<void> {
  await ask({ ...nextEntry(options), remove: true }, options);
}

const entryOf = (options: KeyringOptions): { readonly service: string; readonly account: string } => ({
  service: options.service ?? 'alterd',
  account: options.account ?? 'masterkey',
});

const nextEntry = (options: KeyringOptions): { readonly service: string; readonly account: string } => ({
  ...entryOf(options),
  account: `${entryOf(options).account}-next`,
});

async function keep(entry: Pick<KeyringRequest, 'service' | 'account'>, text: string, options: KeyringOptions): Promise<void> {
  await ask({ ...entry, store: text }, options);
  // Read back: some stores accept a value and lose it.
  if ((await ask(entry, options)) === text) return;
  throw new AlterError(
    'vault_unavailable',
    { reason: 'the OS keyring did not keep the new key' },
    { hint: 'Use a key file instead.' },
  );
}

async function ask(request: KeyringRequest, options: KeyringOptions): Promise<string | null> {
  const first = await askKeytar(request, options);
  if ('value' in first) return first.value;
  const second = await askSecretTool(request, options);
  if ('value' in second) return second.value;
  throw new AlterError(
    'vault_unavailable',
    { reason: `the OS keyring can't be used (keytar: ${first.failure}; secret-tool: ${second.failure})` },
    { hint: 'Unlock the keyring of the session and start again. On a server use a key file or a systemd credential.' },
  );
}

// SECURITY: the child gets what a D-Bus client needs and nothing else of the environment.
const PASSED_VARIABLES = ['DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR', 'HOME', 'PATH', 'DISPLAY', 'WAYLAND_DISPLAY', 'LANG'];
const childEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(PASSED_VARIABLES.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

function askKeytar(request: KeyringRequest, options: KeyringOptions): Promise<KeyringAnswer> {
  const timeoutMs = options.timeoutMs ?? 2000;
  return new Promise((settle) => {
    const child = fork(options.childFile ?? CHILD_FILE, [], {
      env: childEnvironment(),
      execArgv: process.execArgv.filter((argument) => !argument.startsWith('--inspect')),
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const settleOnce = (answer: KeyringAnswer): void => {
      clearTimeout(timer);
      child.removeAllListeners();
      child.on('error', () => {});
      if (child.connected) child.disconnect();
      child.kill('SIGKILL');
      settle(answer);
    };
    const timer = setTimeout(() => settleOnce({ failure: `no answer within ${timeoutMs} ms` }), timeoutMs);
    child.once('message', (answer) => settleOnce(answer as KeyringAnswer));
    child.once('error', (error) => settleOnce({ failure: error.message }));
    child.once('exit', () => settleOnce({ failure: 'its process ended early' }));
    child.send(request, (error) => error && settleOnce({ failure: error.message }));
  });
}

function askSecretTool(request: KeyringRequest, options: KeyringOptions): Promise<KeyringAnswer> {
  const timeoutMs = options.timeoutMs ?? 2000;
  const attributes = ['service', request.service, 'account', request.account];
  const command =
    request.remove === true
      ? ['clear', ...attributes]
      : request.store === undefined
        ? ['lookup', ...attributes]
        : ['store', '--label=alterd master key', ...attributes];
  return new Promise((settle) => {
    const child = spawn(options.secretToolCommand ?? 'secret-tool', command, {
      env: childEnvironment(),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let output = '';
    let complaint = '';
    const settleOnce = (answer: KeyringAnswer): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      settle(answer);
    };
    const timer = setTimeout(() => settleOnce({ failure: `no answer within ${timeoutMs} ms` }), timeoutMs);
    child.once('error', (error: NodeJS.ErrnoException) =>
      settleOnce({ failure: error.code === 'ENOENT' ? 'not installed' : error.message }),
    );
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => (output = (output + chunk).slice(0, 4096)));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaint = (complaint + chunk).slice(0, 200)));
    child.once('close', (code) => {
      if (code === 0) settleOnce({ value: request.remove === true ? null : (request.store ?? output.trim()) });
      // secret-tool answers 1 without a word when there is no such entry.
      else
        settleOnce(
          code === 1 && complaint === '' && request.store === undefined
            ? { value: null }
            : { failure: complaint.trim() || `exit ${code}` },
        );
    });
    child.stdin.on('error', () => {});
    child.stdin.end(request.store ?? '');
  });
}
