/** Finding a placeholder: only where a credential goes, whoever it belongs to. */
import { describe, expect, it } from 'vitest';
import type { Injection } from '../../../src/domain/credential.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { findPlaceholder, placesOf } from '../../../src/injection/placeholder.ts';
import { grantOf } from '../policy/fixtures.ts';

const PH = 'alter_ph_mine';
const VENDOR = 'ghp_vendorShaped00000000';
const known = new Set([PH, VENDOR]);
const with_ = (...injections: Injection[]): Grant[] => [grantOf('g', 'bot', 'api.good.test', { injections })];
const everywhere = with_(
  { in: 'header', name: 'X-Good-Key', template: '{token}' },
  { in: 'query', name: 'key', template: '{token}' },
  { in: 'cookie', name: 'sid', template: '{token}' },
);
const find = (headers: string[], target = '/', grants: readonly Grant[] = everywhere): string | null =>
  findPlaceholder(headers, target, placesOf(grants, known));
const basic = (user: string, password: string): string => `Basic ${btoa(`${user}:${password}`)}`;

describe('findPlaceholder', () => {
  it.each<[string, string[], string]>([
    ['in another header (S-65)', ['X-Debug', PH], '/'],
    ['in the path', [], `/${PH}`],
    ['in another parameter', [], `/?q=${PH}`],
    ['in the value of a longer word', ['Authorization', `Bearer x${PH}`], '/'],
    ['in another cookie', ['Cookie', `a=${PH}`], '/'],
    ['vendor-shaped but never minted', ['Authorization', 'Bearer ghp_somethingElse'], '/'],
    ['nothing at all', ['Authorization', 'Bearer own', 'Cookie', 'sid=x', 'X-Good-Key', ''], '/?key=own&key'],
    ['broken Basic', ['Authorization', 'Basic !!!'], '/'],
  ])('finds none %s', (_name, headers, target) => {
    expect(find(headers, target)).toBeNull();
  });

  it.each<[string, string[], string, string]>([
    ['Bearer', ['Authorization', `Bearer ${PH}`], '/', PH],
    ['a header of the grant', ['x-good-key', VENDOR], '/', VENDOR],
    ['a folded twin', ['X_GOOD_KEY', VENDOR], '/', VENDOR],
    ['a Basic password', ['authorization', basic('x-token', VENDOR)], '/', VENDOR],
    ['a Basic user', ['authorization', basic(VENDOR, 'x')], '/', VENDOR],
    ['a parameter', [], `/?a=1&KEY=${VENDOR}`, VENDOR],
    ['a cookie', ['cookie', `a=1; sid=${VENDOR}`], '/', VENDOR],
    ['one that nobody knows (S-67)', ['Authorization', 'Bearer alter_ph_unknown'], '/', 'alter_ph_unknown'],
    ['the same in two places', ['Authorization', PH, 'X-Good-Key', PH], '/', PH],
  ])('finds it in %s', (_name, headers, target, expected) => {
    expect(find(headers, target)).toBe(expected);
  });

  it('looks at Authorization and X-Api-Key wherever the grants put theirs (S-64)', () => {
    expect(find(['Authorization', PH], '/', [])).toBe(PH);
    expect(find(['X-Api-Key', PH], '/', [])).toBe(PH);
    expect(find(['X-Good-Key', PH], '/', [])).toBeNull();
  });

  it('refuses two different ones', () => {
    const refusal = expect.objectContaining({ code: 'malformed_request' });
    expect(() => find(['Authorization', PH, 'X-Good-Key', VENDOR])).toThrow(refusal);
    expect(() => find(['Authorization', PH], `/?key=${VENDOR}`)).toThrow(refusal);
  });

  it('makes the places of an array once', () => {
    expect(placesOf(everywhere, known)).toBe(placesOf(everywhere, known));
    expect(placesOf(everywhere, new Set())).not.toBe(placesOf(everywhere, known));
  });
});
