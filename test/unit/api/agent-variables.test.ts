import { expect, test } from 'vitest';
import { agentVariables } from '../../../src/api/agent-variables.ts';
import type { ProviderSpec } from '../../../src/config/provider.ts';
import type { Grant } from '../../../src/domain/grant.ts';

const grant = (providerId: string, placeholder: string | null, credentialId = 'c'): Grant =>
  ({ providerId, placeholder, credentialId }) as unknown as Grant;
const provider = (agentEnv: ProviderSpec['agentEnv']): ProviderSpec => ({ agentEnv }) as unknown as ProviderSpec;
const catalogue: Record<string, ProviderSpec> = {
  github: provider([{ name: 'GITHUB_TOKEN', value: '{placeholder}' }]),
  jira: provider([
    { name: 'JIRA_URL', value: 'https://{site}.example.test' },
    { name: 'JIRA_TOKEN', value: '{placeholder}' },
  ]),
};
const find = (slug: string): ProviderSpec | undefined => catalogue[slug];
const fields = (): ReadonlyMap<string, string> => new Map([['site', 'acme']]);

test('a variable that two grants would fill differently is left out and named', () => {
  const { variables, notes } = agentVariables([grant('github', 'ph-1'), grant('github', 'ph-2')], find, fields);
  expect(variables).toEqual({});
  expect(notes).toEqual([expect.stringContaining('GITHUB_TOKEN')]);
});

test('a variable is left out when its template can not be filled, and unknown providers have none', () => {
  expect(agentVariables([grant('github', null), grant('gone', 'ph')], find, fields)).toEqual({ variables: {}, notes: [] });
  expect(agentVariables([grant('jira', 'ph')], find, () => new Map()).variables).toEqual({ JIRA_TOKEN: 'ph' });
});

test('placeholders and public fields are filled in', () => {
  expect(agentVariables([grant('github', 'ph-1'), grant('jira', 'ph-2')], find, fields).variables).toEqual({
    GITHUB_TOKEN: 'ph-1',
    JIRA_URL: 'https://acme.example.test',
    JIRA_TOKEN: 'ph-2',
  });
});
