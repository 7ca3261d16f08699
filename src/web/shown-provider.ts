/** A provider of the catalogue as the Connect page shows it: its scopes in words, and which of them can't be taken away. Pure. */
import { AlterError } from '../domain/errors.ts';
import { requireNone } from '../vault/names.ts';
import { scopeProblem } from '../vault/oauth/consent-input.ts';
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
  // A provider that names no scopes in the catalogue takes any, and none names all: those are shown as they are.
  const usual = known.length > 0 ? required : [...oauth.defaultScopes, ...required];
  const unlisted = [...new Set(usual)].filter((id) => known.every((scope) => scope.id !== id));
  requireNone(unlisted.map((id) => scopeProblem('required_scopes', id, oauth.scopeSeparator)));
  const listed = [...known, ...unlisted.map((id) => ({ id, words: id, isRequired: false }))];
  return {
    id: slug,
    name: spec.name,
    scopes: listed.map(({ id, words, isRequired }): ScopeView => {
      const isFixed = isRequired || required.includes(id);
      return { id, words, required: isFixed, selected: isFixed || oauth.defaultScopes.includes(id) };
    }),
  };
}
