/**
 * Variables that programs of an agent expect (`GITHUB_TOKEN`), filled with placeholders and with values that are no secret.
 * SECURITY: only placeholders and public fields may come near this file; the material of a credential never does.
 */
import type { ProviderSpec } from '../config/provider.ts';
import type { Grant } from '../domain/grant.ts';

export interface AgentVariables {
  readonly variables: Readonly<Record<string, string>>;
  /** Why a variable was left out. */
  readonly notes: readonly string[];
}

/** One set for all grants; a variable that two grants would fill differently is left out, never guessed. */
export function agentVariables(
  grants: readonly Grant[],
  findProvider: (slug: string) => ProviderSpec | undefined,
  publicFields: (credentialId: string) => ReadonlyMap<string, string>,
): AgentVariables {
  const found = new Map<string, Set<string>>();
  for (const grant of grants) {
    const fields = publicFields(grant.credentialId);
    for (const { name, value } of findProvider(grant.providerId)?.agentEnv ?? []) {
      const text = filled(value, grant.placeholder, fields);
      if (text !== null) found.set(name, (found.get(name) ?? new Set()).add(text));
    }
  }
  const variables: Record<string, string> = {};
  const notes: string[] = [];
  for (const [name, values] of found) {
    const [value, ...others] = values;
    if (others.length === 0 && value !== undefined) variables[name] = value;
    else notes.push(`${name} is not set: ${values.size} grants have a value for it. Pick one with --grant.`);
  }
  return { variables, notes };
}

/** Null when the template needs what this grant doesn't have. */
function filled(template: string, placeholder: string | null, fields: ReadonlyMap<string, string>): string | null {
  let isWhole = true;
  const text = template.replace(/\{([a-z][a-z0-9_]*)\}/g, (_all, name: string) => {
    const value = name === 'placeholder' ? placeholder : fields.get(name);
    if (value === null || value === undefined) isWhole = false;
    return value ?? '';
  });
  return isWhole ? text : null;
}
