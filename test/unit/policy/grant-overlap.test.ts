import { describe, expect, it } from 'vitest';
import { destinationOf } from '../../../src/domain/destination.ts';
import type { AlterError } from '../../../src/domain/errors.ts';
import type { Grant, GrantDestination } from '../../../src/domain/grant.ts';
import { NO_SELECTORS } from '../../../src/domain/selectors.ts';
import { overlapsOf } from '../../../src/policy/grant-overlap.ts';
import { compileAuthority, resolveGrant } from '../../../src/policy/resolve.ts';
import { authorityOf, callerOf, grantOf, NOW } from './fixtures.ts';

const place = (pattern: string, port = 443, scheme: 'http' | 'https' = 'https'): GrantDestination => ({ pattern, port, scheme });
const at = (id: string, agentId: string | null, ...destinations: GrantDestination[]): Grant =>
  grantOf(id, agentId, 'x', { destinations, allowPlaintext: destinations.some(({ scheme }) => scheme === 'http') });

/** What really happens to a request to the host that is named. */
function resolved(one: Grant, other: Grant, host: string): string {
  try {
    const compiled = compileAuthority(authorityOf(other, one));
    return resolveGrant(compiled, callerOf('a'), destinationOf('https', host, 443, 0), NO_SELECTORS, null, NOW).id;
  } catch (thrown) {
    return (thrown as AlterError).code;
  }
}

describe('what a new grant stands beside', () => {
  it.each<[string, Grant, Grant, string, string]>([
    ['the same host', at('one', 'a', place('h.test')), at('two', 'a', place('h.test')), 'ambiguous', 'ambiguous_grant'],
    [
      'a host within a wildcard',
      at('one', 'a', place('h.test')),
      at('two', 'a', place('*.test')),
      'ambiguous',
      'ambiguous_grant',
    ],
    [
      'a wildcard around a host',
      at('one', 'a', place('*.test')),
      at('two', 'a', place('h.test')),
      'ambiguous',
      'ambiguous_grant',
    ],
    ["the system's", at('one', 'a', place('h.test')), at('two', null, place('h.test')), 'first', 'one'],
    ["an agent's, for the system", at('one', null, place('h.test')), at('two', 'a', place('h.test')), 'second', 'two'],
  ])('%s', (_what, one, other, effect, outcome) => {
    expect(overlapsOf(one, [one, other])).toEqual([{ grant: other, host: 'h.test', effect }]);
    expect(resolved(one, other, 'h.test')).toBe(outcome);
  });

  it.each<[string, Grant, Grant]>([
    ['another host', at('one', 'a', place('h.test')), at('two', 'a', place('g.test'))],
    ['another port', at('one', 'a', place('h.test')), at('two', 'a', place('h.test', 8443))],
    ['a deeper name than a wildcard covers', at('one', 'a', place('a.h.test')), at('two', 'a', place('*.test'))],
    ['plain http beside https', at('one', 'a', place('h.test', 80, 'http')), at('two', 'a', place('h.test'))],
  ])('but not %s', (_what, one, other) => {
    expect(overlapsOf(one, [other])).toEqual([]);
    expect(resolved(one, other, one.destinations[0]?.pattern ?? '')).not.toBe('ambiguous_grant');
  });
});
