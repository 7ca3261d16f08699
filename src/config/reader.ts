/**
 * Readers: how the raw value of one configuration key becomes a typed one. Written by hand because a schema library costs
 * 60 ms of start-up. A reader never throws for bad input: it answers the problem, so that all can be told at once.
 */
import { isAbsolute } from 'node:path';
import { parseHost } from '../domain/host.ts';

export type Reading<T> = { readonly value: T } | { readonly problem: string };

/** `raw` is what TOML holds; `fromText` turns the text of an environment variable or a flag into that shape. */
export interface Reader<T> {
  read(raw: unknown): Reading<T>;
  fromText(text: string): unknown;
}

/** A canonical host with its port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
  readonly family: 0 | 4 | 6;
}

const asIs = (text: string): unknown => text;
const asList = (text: string): unknown => (text.trim() === '' ? [] : text.split(',').map((item) => item.trim()));

export const toggle: Reader<boolean> = {
  read: (raw) => (typeof raw === 'boolean' ? { value: raw } : { problem: 'must be true or false' }),
  fromText: (text) => (text === 'true' ? true : text === 'false' ? false : text),
};

export function integer(min: number, max: number): Reader<number> {
  return {
    read: (raw) =>
      typeof raw === 'number' && Number.isInteger(raw) && raw >= min && raw <= max
        ? { value: raw }
        : { problem: `must be a whole number from ${min} to ${max}` },
    fromText: (text) => (/^\d{1,15}$/.test(text) ? Number(text) : text),
  };
}

export function oneOf<const T extends string>(...allowed: readonly T[]): Reader<T> {
  return {
    read: (raw) => {
      const value = allowed.find((each) => each === raw);
      return value === undefined ? { problem: `must be one of ${allowed.map((a) => `"${a}"`).join(', ')}` } : { value };
    },
    fromText: asIs,
  };
}

/** "" means none. */
export const optionalFile: Reader<string | null> = {
  read: (raw) => {
    if (raw === '') return { value: null };
    return typeof raw === 'string' && isAbsolute(raw) ? { value: raw } : { problem: 'must be an absolute path, or "" for none' };
  },
  fromText: asIs,
};

export function listOf<T>(item: (raw: string) => Reading<T>): Reader<readonly T[]> {
  return {
    read: (raw) => {
      if (!Array.isArray(raw) || !raw.every((each) => typeof each === 'string')) return { problem: 'must be a list of strings' };
      const readings = raw.map((each: string) => ({ each, reading: item(each) }));
      const problems = readings.flatMap(({ each, reading }) =>
        'problem' in reading ? [`${JSON.stringify(each)} ${reading.problem}`] : [],
      );
      if (problems.length > 0) return { problem: problems.join('; ') };
      return { value: readings.flatMap(({ reading }) => ('value' in reading ? [reading.value] : [])) };
    },
    fromText: asList,
  };
}

/** `host:port` or `[v6]:port`, canonical; port 0 only where `minPort` allows it. */
export function readHostPort(text: string, minPort = 1): Reading<HostPort> {
  const match = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (!match || port < minPort || port > 65_535) return { problem: 'must be HOST:PORT' };
  const parsed = readHost(match[1]!);
  return 'problem' in parsed ? parsed : { value: { ...parsed.value, port } };
}

export function readHost(text: string): Reading<{ readonly host: string; readonly family: 0 | 4 | 6 }> {
  try {
    const { host, family } = parseHost(text);
    return { value: { host, family } };
  } catch {
    return { problem: 'must name a valid host' };
  }
}

/** What follows `://` in `Destination.origin`. */
export const originKey = ({ host, port, family }: HostPort): string => `${family === 6 ? `[${host}]` : host}:${port}`;
