/**
 * `[[audit.sink]]`: where the rows of the journal are sent besides. Secrets are named by the file that holds them; an address
 * that is not public has to be asked for.
 */
import { isAbsolute } from 'node:path';
import type { Destination } from '../domain/destination.ts';
import { parseAuthority } from '../domain/host.ts';
import type { Reader, Reading } from './reader.ts';
import { TableReader } from './table-reader.ts';

const MIB = 1024 * 1024;

interface SinkBase {
  readonly name: string;
  /** Where a sink begins that never delivered: with the rows to come, or with the first that there is. */
  readonly from: 'now' | 'start';
  /** Whether its host may have a private or loopback address. */
  readonly allowPrivate: boolean;
}

export interface FileSinkConfig extends SinkBase {
  readonly kind: 'file';
  readonly file: string;
  readonly maxBytes: number;
  /** Older files kept beside the current one. */
  readonly keep: number;
}

export interface SyslogSinkConfig extends SinkBase {
  readonly kind: 'syslog';
  readonly transport: 'udp' | 'tcp' | 'tls' | 'unix';
  /** Null for `unix`. */
  readonly destination: Destination | null;
  /** Of the socket, for `unix`. */
  readonly path: string;
}

export interface JournaldSinkConfig extends SinkBase {
  readonly kind: 'journald';
  readonly path: string;
}

export interface HttpSinkConfig extends SinkBase {
  readonly kind: 'otlp' | 'webhook';
  readonly destination: Destination;
  /** Path and query. */
  readonly target: string;
  /** Of the key that signs; for `webhook`. */
  readonly secretFile: string | null;
  /** Lines `Name: value` that are sent along. */
  readonly headersFile: string | null;
}

export type SinkConfig = FileSinkConfig | SyslogSinkConfig | JournaldSinkConfig | HttpSinkConfig;

const KINDS = ['file', 'syslog', 'journald', 'otlp', 'webhook'] as const;
const absolute = (value: string): string | null => (isAbsolute(value) ? null : 'must be an absolute path');

/** All tables, every problem at once. */
export const sinkList: Reader<readonly SinkConfig[]> = {
  read: (raw) => {
    const problems: string[] = [];
    const root = new TableReader({ sink: raw }, '', (path, problem) => problems.push(`${path} ${problem}`));
    const sinks = root.tables('sink', readSink);
    const names = new Set<string>();
    for (const { name } of sinks) {
      if (names.has(name)) problems.push(`the name ${JSON.stringify(name)} is there twice`);
      names.add(name);
    }
    return problems.length > 0 ? { problem: `is not right: ${problems.join('; ')}` } : { value: sinks };
  },
  fromText: (text) => (text === '' ? [] : text),
};

function readSink(table: TableReader): SinkConfig {
  const kind = table.choice('kind', KINDS);
  const base: SinkBase = {
    name: table.text('name', (value) =>
      /^[a-z][a-z0-9-]{0,31}$/.test(value) ? null : 'must be lower-case letters, digits and hyphens, at most 32',
    ),
    from:
      table.optionalText('from', (value) => (value === 'now' || value === 'start' ? null : 'must be "now" or "start"')) ===
      'start'
        ? 'start'
        : 'now',
    allowPrivate: table.toggle('allow_private', false),
  };
  if (kind === 'file') {
    return {
      ...base,
      kind,
      file: table.text('file', absolute),
      maxBytes: table.integer('max_bytes', 100 * MIB, 4096, 1024 * 1024 * MIB),
      keep: table.integer('keep', 10, 1, 10_000),
    };
  }
  if (kind === 'syslog') return { ...base, kind, ...readSyslogAddress(table) };
  if (kind === 'journald') return { ...base, kind, path: table.optionalText('path', absolute) ?? '/run/systemd/journal/stdout' };
  const { destination, target } = readUrl(table, base.allowPrivate);
  return {
    ...base,
    kind,
    destination,
    target,
    // SECURITY: without a signature anybody who finds the receiver could feed it rows of his own.
    secretFile: kind === 'webhook' ? table.text('secret_file', absolute) : null,
    headersFile: table.optionalText('headers_file', absolute) ?? null,
  };
}

const NOWHERE = parseAuthority('invalid.invalid:1', 'https');

function readSyslogAddress(table: TableReader): Pick<SyslogSinkConfig, 'transport' | 'destination' | 'path'> {
  const text = table.text('address');
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (!isAbsolute(path)) table.problem('address', 'must name an absolute path, like unix:/dev/log');
    return { transport: 'unix', destination: null, path };
  }
  const match = /^(udp|tcp|tls):\/\/([^/]+)$/.exec(text);
  const destination =
    match === null
      ? { problem: '' }
      : readAuthority(match[2] ?? '', match[1] === 'tls' ? 'https' : 'http', match[1] === 'tls' ? 6514 : 514);
  if ('problem' in destination) {
    table.problem('address', 'must be like tls://HOST:6514, tcp://HOST:514, udp://HOST:514 or unix:/dev/log');
    return { transport: 'tls', destination: NOWHERE, path: '' };
  }
  return { transport: match?.[1] as 'udp' | 'tcp' | 'tls', destination: destination.value, path: '' };
}

function readUrl(table: TableReader, allowPrivate: boolean): { destination: Destination; target: string } {
  const match = /^(https?):\/\/([^/?#]+)([/?][^#\s]*)?$/.exec(table.text('url'));
  const scheme = match?.[1] === 'http' ? 'http' : 'https';
  // SECURITY: the value is never repeated: somebody may have put a password into it.
  const destination = readAuthority(match?.[2] ?? '', scheme, scheme === 'http' ? 80 : 443);
  if (match === null || 'problem' in destination)
    table.problem('url', 'must be a URL such as "https://logs.example.test/audit", without user and password');
  else if (scheme === 'http' && !allowPrivate)
    table.problem('url', 'must be https: rows would cross the network in clear text (http only with allow_private = true)');
  const target = match?.[3] ?? '/';
  return {
    destination: 'problem' in destination ? NOWHERE : destination.value,
    target: target.startsWith('?') ? `/${target}` : target,
  };
}

function readAuthority(text: string, scheme: 'http' | 'https', port: number): Reading<Destination> {
  try {
    return { value: parseAuthority(text, scheme, port) };
  } catch {
    return { problem: 'must name a host' };
  }
}
