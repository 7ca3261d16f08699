/** A provider of the catalogue as the Connect page shows it: its scopes in words, and which of them can't be taken away. Pure. */
import { AlterError } from '../domain/errors.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import type { ScopeView, ShownProvider } from './view.ts';

/**
 * @param required by the session, beside those that the provider needs anyway
 * @throws AlterError not_found, invalid_input
 */
export function shownProvider(providers: ProviderSource, slug: string, required: readonly string[]): ShownProvider {
  const spec = providers.find(slug);
  if (spec === undefined)
    throw new AlterError('not_found', { what: 'provider', name: slug, list_command: 'alterd provider list' });
  const { oauth } = spec;
  if (oauth === undefined || oauth.authorizeUrl === null)
    throw new AlterError('invalid_input', {
      problems: [
        `allowed_providers: ${spec.name} has no page for consent; store a secret with \`alterd secret add ${spec.slug}\``,
      ],
    });
  const known = oauth.scopes.map((scope) => ({ id: scope.name, words: scope.label, isRequired: scope.required }));
  const strange = required.filter((id) => known.length > 0 && known.every((scope) => scope.id !== id));
  if (strange.length > 0)
    throw new AlterError('invalid_input', { problems: [`required_scopes: ${spec.name} has no scope ${strange.join(', ')}`] });
  // A provider that names no scopes in the catalogue takes any: those are shown as they are.
  const listed =
    known.length > 0
      ? known
      : [...new Set([...oauth.defaultScopes, ...required])].map((id) => ({ id, words: id, isRequired: false }));
  return {
    id: slug,
    name: spec.name,
    scopes: listed.map(({ id, words, isRequired }): ScopeView => {
      const isFixed = isRequired || required.includes(id);
      return { id, words, required: isFixed, selected: isFixed || oauth.defaultScopes.includes(id) };
    }),
  };
}
