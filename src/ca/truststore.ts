/**
 * JVM truststore: Java reads no PEM bundle and no environment variable for its roots, only a store that `keytool` makes.
 * Made when a Java program is first expected, and never required: a machine without Java must not notice this file.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { AlterError } from '../domain/errors.ts';
import { ensureOwnDirectory, readOwnFile, replaceFile } from './own-file.ts';

export interface TruststoreOptions {
  readonly caFile: string;
  readonly fingerprintSha256: string;
  readonly outDir: string;
  /** Default: `keytool` of JAVA_HOME, else of PATH. */
  readonly keytool?: string;
  /** Default: the cacerts file that belongs to that keytool. */
  readonly cacertsFile?: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

export type Truststore =
  | { readonly available: true; readonly file: string }
  | { readonly available: false; readonly reason: string };

/** Java's own default, and no protection: the store holds public certificates only. */
export const TRUSTSTORE_PASSWORD = 'changeit';

function findKeytool(environment: NodeJS.ProcessEnv): string | null {
  const places = [
    ...(environment.JAVA_HOME ? [join(environment.JAVA_HOME, 'bin')] : []),
    ...(environment.PATH ?? '').split(':').filter((dir) => dir.startsWith('/')),
  ];
  return places.map((dir) => join(dir, 'keytool')).find((file) => existsSync(file)) ?? null;
}

function findCacerts(keytool: string): string | null {
  const home = dirname(dirname(realpathSync(keytool)));
  const places = [join(home, 'lib/security/cacerts'), join(home, 'jre/lib/security/cacerts'), '/etc/ssl/certs/java/cacerts'];
  return places.find((file) => existsSync(file)) ?? null;
}

/**
 * A PKCS12 truststore for the JVM, Java's own roots plus our CA, made by `keytool` once per CA and cacerts file.
 * Absence of Java is an answer, not an error: `available: false` with the reason.
 * @throws AlterError forbidden
 */
export async function ensureTruststore(options: TruststoreOptions): Promise<Truststore> {
  const keytool = options.keytool ?? findKeytool(options.environment ?? process.env);
  if (keytool === null || !existsSync(keytool)) return { available: false, reason: 'keytool is not installed' };
  const cacerts = options.cacertsFile ?? findCacerts(keytool);
  if (cacerts === null || !existsSync(cacerts)) return { available: false, reason: "Java's cacerts file was not found" };
  ensureOwnDirectory(options.outDir);
  const identity = `${options.fingerprintSha256}|${cacerts}|${statSync(cacerts).mtimeMs}`;
  const tag = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  const file = join(options.outDir, `truststore-${tag}.p12`);
  if (readOwnFile(file) !== null) return { available: true, file };
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  const run = (args: readonly string[]) => promisify(execFile)(keytool, [...args], { timeout: options.timeoutMs ?? 60_000 });
  const store = ['-storetype', 'PKCS12', '-storepass', TRUSTSTORE_PASSWORD, '-noprompt'];
  try {
    // biome-ignore format: one option and its value a pair
    await run(['-importkeystore', '-srckeystore', cacerts, '-srcstorepass', TRUSTSTORE_PASSWORD, '-destkeystore', draft,
      '-deststoretype', 'PKCS12', '-deststorepass', TRUSTSTORE_PASSWORD, '-noprompt']);
    await run(['-importcert', '-trustcacerts', '-alias', `alterd-${tag}`, '-file', options.caFile, '-keystore', draft, ...store]);
    // Through replaceFile for its mode and its checks; the draft is only keytool's.
    replaceFile(file, readFileSync(draft), 0o644);
    return { available: true, file };
  } catch (error) {
    if (error instanceof AlterError) throw error;
    return { available: false, reason: `keytool failed: ${(error as Error).message.split('\n')[0]}` };
  } finally {
    rmSync(draft, { force: true });
  }
}
