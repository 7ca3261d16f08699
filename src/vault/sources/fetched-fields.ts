/** The fields of a credential, those with a source fetched anew. Knows for how long they are good, and tells when a file changed. */
import type { FieldSources } from '../../domain/credential.ts';
import type { HttpsCall } from '../../domain/https-call.ts';
import { Secret } from '../../domain/secret.ts';
import { validateFieldValue } from '../../injection/compile.ts';
import { runForValue } from './command.ts';
import { readKv } from './kv.ts';
import { markOfFile, readPrivateValue } from './private-value.ts';
import { parseSource } from './source.ts';
import { SourceFailure } from './source-failure.ts';

export type Fields = ReadonlyMap<string, Secret>;

/** How long something that was fetched serves. */
export interface Freshness {
  /** From here on it is fetched anew while it still serves. */
  readonly renewAt: number;
  /** From here on it does not serve. */
  readonly endsAt: number;
  /** True when a file behind it was changed; looked at once a second. */
  isChanged(now: number): boolean;
}

/** A share of the lifetime, so that no request waits for a renewal. */
const RENEW_AHEAD_MS = 60_000;
const LOOK_EVERY_MS = 1_000;

export interface FetchParts {
  readonly call: HttpsCall | null;
  readonly now: () => number;
  /** Fields that may have several lines. */
  readonly multiline: ReadonlySet<string>;
}

/** @throws SourceFailure */
export async function fetchFields(
  stored: Fields,
  sources: FieldSources,
  parts: FetchParts,
): Promise<{ readonly fields: Fields; readonly freshness: Freshness }> {
  const fields = new Map(stored);
  const marks = new Map<string, string>();
  for (const [name, text] of Object.entries(sources.fields)) {
    const value = await fetchOne(text, parts, marks);
    if (validateFieldValue(value, parts.multiline.has(name)) !== null) throw new SourceFailure('value_malformed');
    fields.set(name, new Secret(value));
  }
  return { fields, freshness: freshnessOf(parts.now(), sources.lifetimeMs, marks) };
}

async function fetchOne(text: string, { call }: FetchParts, marks: Map<string, string>): Promise<string> {
  const source = parseSource(text);
  if (typeof source === 'string') throw new SourceFailure('source_missing');
  switch (source.kind) {
    case 'file': {
      const { text: value, mark } = readPrivateValue(source.path);
      marks.set(source.path, mark);
      return value;
    }
    case 'env': {
      const value = process.env[source.name]?.replace(/\r?\n$/, '');
      if (value === undefined) throw new SourceFailure('source_missing');
      if (value === '') throw new SourceFailure('source_empty');
      return value;
    }
    case 'command':
      return runForValue(source.argv);
    case 'vault':
      if (call === null) throw new SourceFailure('vault_unreachable');
      return readKv(source, call);
  }
}

function freshnessOf(now: number, lifetimeMs: number, marks: ReadonlyMap<string, string>): Freshness {
  let lookAt = now + LOOK_EVERY_MS;
  let isChanged = false;
  return {
    renewAt: now + lifetimeMs - Math.min(RENEW_AHEAD_MS, lifetimeMs / 5),
    endsAt: now + lifetimeMs,
    isChanged: (at) => {
      // SECURITY: what was changed once stays so: its old value must not serve between two looks.
      if (isChanged || marks.size === 0 || at < lookAt) return isChanged;
      lookAt = at + LOOK_EVERY_MS;
      isChanged = [...marks].some(([path, mark]) => markOfFile(path) !== mark);
      return isChanged;
    },
  };
}

/** What serves as long as both do. */
export const shorter = (a: Freshness, b: Freshness): Freshness => ({
  renewAt: Math.min(a.renewAt, b.renewAt),
  endsAt: Math.min(a.endsAt, b.endsAt),
  isChanged: (now) => a.isChanged(now) || b.isChanged(now),
});
