/**
 * Whether what a file brings could have been made here: rows are put through the rules for new ones, but for those that only ask what
 * a catalogue or the clock say at the moment of making. Pure, and it never repeats a value.
 */
import { isDeepStrictEqual } from 'node:util';
import { isPlaceholder } from '../../config/placeholder.ts';
import { validateInjections } from '../../injection/compile.ts';
import { multilineFieldsOf } from '../../injection/injection-parts.ts';
import { operationRuleProblems } from '../../policy/operations.ts';
import type { CredentialRow, GrantRow, KeyRow } from '../../store/rows.ts';
import { agentProblems } from '../agent-input.ts';
import { approvalProblems, bodyProblems, gitProblem, labelProblem, leaseProblems, overrideProblem } from '../grant-input.ts';
import { checkDestination, covers, methodProblem, pathProblem, widenForPlaintext } from '../grant-scope.ts';
import { slugProblem } from '../names.ts';
import { fieldNameProblem, valueProblems } from '../secret-input.ts';
import { sourceProblems } from '../sources/source.ts';
import type { MovedRows, MovedVault } from './document.ts';

type Problems = readonly (string | undefined)[];

/** @param placeholders of the grants that are here already */
export function ruleProblems(added: MovedRows, moved: MovedVault, placeholders: readonly string[]): string[] {
  const credentials = new Map(moved.credentials.map((row) => [row.id, row]));
  const taken = new Map<string, number>();
  for (const text of [...placeholders, ...added.grants.flatMap(({ placeholder }) => placeholder ?? [])])
    taken.set(text, (taken.get(text) ?? 0) + 1);
  const grants = added.grants.map((row): Named => {
    // SECURITY: of two grants with one placeholder, each would be given the other's secret.
    const twice = row.placeholder !== null && (taken.get(row.placeholder) ?? 0) > 1;
    const own = [
      ...grantProblems(row, credentials.get(row.credentialId)),
      twice ? 'placeholder: another grant has it' : undefined,
    ];
    return [`grant ${row.providerId} (${row.id.slice(0, 8)})`, own];
  });
  const secrets = added.credentials.map((row): Named => {
    const ways = [
      ...(row.injections ?? []),
      ...moved.grants.flatMap((grant) => (grant.credentialId === row.id ? grant.injections : [])),
    ];
    const multiline = multilineFieldsOf(ways);
    // What a provider gave out for an account is kept as it came.
    const values = row.oauth === undefined ? [...(moved.material.get(row.id) ?? [])] : [];
    const own = values.flatMap(([name, secret]) =>
      secret.reveal() === '' ? [] : valueProblems(name, secret.reveal(), [...taken.keys()], multiline.has(name)),
    );
    return [`secret ${row.name}`, [...secretProblems(row), ...own]];
  });
  return [
    ...added.agents.map((row): Named => [`agent ${row.name}`, [slugProblem('name', row.name), ...agentProblems(row)]]),
    ...added.keys.map((row): Named => [`key ${row.prefix}…`, keyProblems(row)]),
    ...secrets,
    ...grants,
  ].flatMap(([what, problems]) => problems.flatMap((problem) => (problem === undefined ? [] : `${what}: ${problem}`)));
}

type Named = readonly [what: string, problems: Problems];

function grantProblems(row: GrantRow, credential: CredentialRow | undefined): Problems {
  const { destinations, methods, paths, excludedPaths, approval, injections, allowPlaintext, placeholder } = row;
  const bounds = credential?.destinations ? widenForPlaintext(credential.destinations, allowPlaintext) : null;
  return [
    labelProblem(row.label),
    overrideProblem(row.overrideMode),
    gitProblem(row.git ?? undefined),
    destinations.length === 0 ? 'hosts: there is none' : undefined,
    ...destinations.flatMap((destination): Problems => {
      const reading = checkDestination(destination);
      if ('problem' in reading) return [reading.problem];
      return [
        isDeepStrictEqual(reading.value, destination)
          ? undefined
          : `hosts: ${destination.pattern} is not written as alterd writes it`,
        destination.scheme === 'http' && !allowPlaintext
          ? `hosts: ${destination.pattern} is http without --allow-plaintext`
          : undefined,
        bounds === null || bounds.some((bound) => covers(bound, destination))
          ? undefined
          : `hosts: ${destination.pattern} is none of its secret`,
      ];
    }),
    ...listProblems('methods', methods, methodProblem),
    ...listProblems('paths', paths, pathProblem),
    ...excludedPaths.map((path) => pathProblem('excluded_paths', path)),
    ...approvalProblems(approval),
    // SECURITY: rules compare with methods as they are written.
    ...[...(methods ?? []), ...(approval ?? [])].map((each) =>
      each === each.toUpperCase() ? undefined : `${each} is not upper-case`,
    ),
    ...row.operations.flatMap(operationRuleProblems),
    ...validateInjections(injections, credential?.fieldNames ?? []),
    ...leaseProblems(row),
    ...bodyProblems(row),
    placeholder === null || isPlaceholder(placeholder) ? undefined : 'placeholder: it is too short, or not visible ASCII',
  ];
}

/** Null is no restriction; an empty list would be one that nothing passes. */
const listProblems = (what: string, list: readonly string[] | null, problemOf: typeof pathProblem): Problems =>
  list?.length === 0 ? [`${what}: an empty list`] : (list ?? []).map((each) => problemOf(what, each));

const secretProblems = ({ name, providerId, fieldNames, injections, destinations, sources }: CredentialRow): Problems => [
  slugProblem('name', name),
  slugProblem('provider', providerId),
  ...fieldNames.map(fieldNameProblem),
  ...(injections === null ? [] : validateInjections(injections, fieldNames)),
  ...(destinations ?? []).map((destination) => {
    const reading = checkDestination(destination);
    return 'problem' in reading ? reading.problem : undefined;
  }),
  ...(sources === undefined ? [] : sourceProblems(sources, fieldNames)),
];

const HASH = /^[0-9a-f]{64}$/;
/** As the commands show it: letters, digits and underscores of the key's beginning. */
const PREFIX = /^alter_key_[a-z]+_[0-9A-Za-z]{1,12}$/;

const keyProblems = ({ hash, prefix, narrowing }: KeyRow): Problems => [
  HASH.test(hash) ? undefined : 'its hash is none',
  PREFIX.test(prefix) ? undefined : 'its beginning is not that of a key',
  ...narrowing.deniedMethods.map((method) => methodProblem('denied_methods', method)),
  ...narrowing.deniedPaths.map((path) => pathProblem('denied_paths', path)),
];
