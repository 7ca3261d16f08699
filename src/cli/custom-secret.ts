/** Secrets of hosts that no provider file describes: where the value goes, from a kind and a few words. */
import type { ProviderView } from '../api/provider-view.ts';
import { AlterError } from '../domain/errors.ts';

export const KINDS = ['bearer', 'header', 'basic', 'query', 'cookie'] as const;
export type SecretKind = (typeof KINDS)[number];

export interface CustomSecret {
  readonly kind: SecretKind;
  readonly fields: ProviderView['fields'];
  readonly inject: readonly object[];
}

interface CustomFlags {
  readonly kind?: string;
  readonly host?: readonly string[];
  readonly header?: string;
  readonly template?: string;
}

const TOKEN = { name: 'token', label: 'Secret', secret: true, pattern: null };

/** @throws AlterError invalid_input with every problem */
export function customInjection(slug: string, { kind = 'bearer', host, header, template }: CustomFlags): CustomSecret {
  const problems: string[] = [];
  if (host === undefined || host.length === 0) {
    problems.push(`there is no provider ${JSON.stringify(slug)} in the catalogue, so --host has to say where the secret may go`);
  }
  if (!isKind(kind)) problems.push(`--kind is one of ${KINDS.join(', ')}`);
  const needsName = kind === 'header' || kind === 'query' || kind === 'cookie';
  if (needsName && header === undefined) problems.push(`--kind ${kind} needs --header NAME`);
  if (!needsName && header !== undefined) problems.push(`--header has no meaning with --kind ${kind}`);
  if (template !== undefined && !template.includes('{token}')) problems.push('--template has to contain {token}');
  if (template !== undefined && kind === 'basic') problems.push('--template has no meaning with --kind basic');
  if (problems.length > 0 || !isKind(kind)) {
    throw new AlterError('invalid_input', { problems }, { hint: 'See the providers that alterd knows: `alterd provider list`.' });
  }
  return { kind, fields: fieldsOf(kind), inject: [injectionOf(kind, header ?? '', template)] };
}

const isKind = (text: string): text is SecretKind => (KINDS as readonly string[]).includes(text);

const fieldsOf = (kind: SecretKind): ProviderView['fields'] =>
  kind === 'basic'
    ? [
        { ...TOKEN, name: 'username', label: 'User name' },
        { ...TOKEN, name: 'password', label: 'Password' },
      ]
    : [TOKEN];

function injectionOf(kind: SecretKind, name: string, template: string | undefined): object {
  switch (kind) {
    case 'bearer':
      return { in: 'header', name: 'Authorization', template: template ?? 'Bearer {token}' };
    case 'basic':
      return { in: 'basic', username: '{username}', password: '{password}' };
    default:
      return { in: kind, name, template: template ?? '{token}' };
  }
}
