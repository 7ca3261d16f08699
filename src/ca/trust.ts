/**
 * Trust files for clients: the CA bundle and the wget configuration.
 * Variables that name a bundle replace a client's own roots, so every bundle is system roots plus our CA, or hosts that are
 * only tunnelled would break. Nothing here may touch a trust store of the operating system (see system-store.ts).
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { rootCertificates } from 'node:tls';
import { AlterError } from '../domain/errors.ts';
import { ensureOwnDirectory, readOwnFile, replaceFile } from './own-file.ts';

/** Where distributions keep their roots in one file: Debian, Fedora and RHEL, SUSE, Alpine and macOS, older RHEL. */
const SYSTEM_ROOT_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
];
/** Directories that only mirror the file above. */
const SYSTEM_ROOT_DIRECTORIES = ['/etc/ssl/certs', '/etc/pki/tls/certs'];
const MAX_ROOT_FILE_BYTES = 16 * 1024 * 1024;
const MAX_DIRECTORY_FILES = 2000;

export interface BundleOptions {
  readonly caPem: string;
  /** The CA of before the last rotation, while it is kept. */
  readonly previousPem?: string | null;
  /** Takes the place of the search for roots; an unreadable one is an error. */
  readonly systemRootsFile?: string;
  /** The caller's environment: roots that it already trusts (a corporate CA) stay trusted. */
  readonly inherited?: NodeJS.ProcessEnv;
  readonly outFile: string;
}

export interface WrittenBundle {
  readonly file: string;
  /** Where the roots came from: a file, or `node` for the list built into Node. */
  readonly rootsFrom: string;
  readonly certificateCount: number;
}

/** The certificates of a PEM text, and nothing else of it: a private key in the same file is never copied. */
function certificatesIn(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
}

function certificatesOf(file: string): string[] {
  try {
    const stat = statSync(file);
    return stat.isFile() && stat.size <= MAX_ROOT_FILE_BYTES ? certificatesIn(readFileSync(file, 'latin1')) : [];
  } catch {
    return [];
  }
}

function certificatesUnder(directories: string): string[] {
  return directories
    .split(':')
    .filter((dir) => dir !== '' && !SYSTEM_ROOT_DIRECTORIES.includes(resolve(dir)))
    .flatMap((dir) => {
      try {
        return readdirSync(dir)
          .filter((name) => /\.(pem|crt|cer|\d)$/.test(name))
          .slice(0, MAX_DIRECTORY_FILES)
          .flatMap((name) => certificatesOf(join(dir, name)));
      } catch {
        return [];
      }
    });
}

function findRoots(options: BundleOptions): { readonly from: string; readonly certificates: readonly string[] } {
  if (options.systemRootsFile !== undefined) {
    const certificates = certificatesOf(options.systemRootsFile);
    if (certificates.length > 0) return { from: options.systemRootsFile, certificates };
    throw new AlterError('invalid_input', { problems: [`${options.systemRootsFile} holds no certificates that can be read`] });
  }
  const own = options.inherited?.SSL_CERT_FILE;
  for (const from of own ? [own, ...SYSTEM_ROOT_FILES] : SYSTEM_ROOT_FILES) {
    const certificates = certificatesOf(from);
    if (certificates.length > 0) return { from, certificates };
  }
  return { from: 'node', certificates: rootCertificates };
}

/**
 * Writes the merged bundle (roots, whatever else the caller's environment trusts, our CA) for clients to read.
 * @throws AlterError forbidden (a planted link, a directory open to others), invalid_input
 */
export function writeBundle(options: BundleOptions): WrittenBundle {
  ensureOwnDirectory(dirname(options.outFile));
  const roots = findRoots(options);
  const inherited = options.inherited ?? {};
  const merged = new Map<string, string>();
  for (const pem of [
    ...certificatesIn(options.caPem),
    ...certificatesIn(options.previousPem ?? ''),
    ...(inherited.NODE_EXTRA_CA_CERTS ? certificatesOf(inherited.NODE_EXTRA_CA_CERTS) : []),
    ...(inherited.SSL_CERT_DIR ? certificatesUnder(inherited.SSL_CERT_DIR) : []),
    ...roots.certificates,
  ]) {
    merged.set(pem.replace(/\s+/g, ''), pem.trim());
  }
  const text = `${[...merged.values()].join('\n')}\n`;
  if (readOwnFile(options.outFile)?.toString() !== text) replaceFile(options.outFile, text, 0o644);
  return { file: options.outFile, rootsFrom: roots.from, certificateCount: merged.size };
}

/**
 * Writes a wgetrc that names the bundle: wget built on GnuTLS listens to no variable for its roots.
 * @throws AlterError forbidden
 */
export function writeWgetrc(bundleFile: string, outFile: string): string {
  ensureOwnDirectory(dirname(outFile));
  const text = `ca_certificate = ${bundleFile}\n`;
  if (readOwnFile(outFile)?.toString() !== text) replaceFile(outFile, text, 0o644);
  return outFile;
}
