/** `--from`: fields of a secret that are fetched from elsewhere when they are needed. Reads references, never values. */
import type { ProviderView } from '../api/provider-view.ts';
import { AlterError } from '../domain/errors.ts';
import { parseDuration } from './duration.ts';

type Field = ProviderView['fields'][number];

export interface SourceFlags {
  readonly from?: readonly string[];
  readonly lifetime?: string;
}

export interface SourcesInput {
  readonly fields: Readonly<Record<string, string>>;
  readonly lifetime_ms?: number;
}

/** `[FIELD=]REFERENCE`; a reference alone is for the one secret that the provider has. @throws AlterError invalid_input */
export function readSources(fields: readonly Field[], { from, lifetime }: SourceFlags): SourcesInput | undefined {
  if (from === undefined) {
    if (lifetime === undefined) return undefined;
    throw invalid('--lifetime has no meaning without --from');
  }
  const found: Record<string, string> = {};
  for (const text of from) {
    const named = /^([a-z][a-z0-9_]*)=((?:file|env|command|vault):.*)$/s.exec(text);
    const name = named?.[1] ?? onlySecret(fields);
    if (!fields.some((field) => field.name === name))
      throw invalid(`there is no field ${JSON.stringify(name)}; there are ${fields.map((field) => field.name).join(', ')}`);
    if (Object.hasOwn(found, name)) throw invalid(`the field ${name} is given twice`);
    found[name] = named?.[2] ?? text;
  }
  return { fields: found, ...(lifetime === undefined ? {} : { lifetime_ms: parseDuration(lifetime, '--lifetime') }) };
}

function onlySecret(fields: readonly Field[]): string {
  const secrets = fields.filter((field) => field.secret && field.optional !== true);
  if (secrets.length === 1) return secrets[0]?.name ?? '';
  throw invalid(`there are the secrets ${secrets.map((field) => field.name).join(', ')}: write --from FIELD=REFERENCE for each`);
}

const invalid = (problem: string): AlterError =>
  new AlterError(
    'invalid_input',
    { problems: [problem] },
    {
      hint: 'For example: --from file:/run/secrets/token, --from env:NAME, --from \'command:["/usr/bin/pass","show","x"]\', --from \'vault:https://vault:8200/secret/app?token_file=/run/vault-token#token\'.',
    },
  );
