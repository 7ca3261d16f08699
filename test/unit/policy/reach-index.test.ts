/** An index that is brought forward from version to version says what one made anew says, and the one before keeps its grants. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Authority } from '../../../src/domain/authority.ts';
import type { Grant, Principal } from '../../../src/domain/grant.ts';
import { byCreation } from '../../../src/domain/row-lists.ts';
import { type CompiledAuthority, compileAuthority } from '../../../src/policy/resolve.ts';
import { grantRow } from '../../contract/store/store-rows.ts';

const AGENTS = ['a1', 'a2'];
const PATTERNS = ['x.test', 'y.test', '*.y.test', '*.test'];
const HOSTS = ['x.test', 'y.test', 'z.y.test', 'q.test', 'other.example'];
const IDS = ['g1', 'g2', 'g3', 'g4', 'g5'];

const grant = fc
  .record({
    id: fc.constantFrom(...IDS),
    owner: fc.constantFrom<Principal>(...AGENTS.map((agentId) => ({ type: 'agent', agentId }) as const), { type: 'system' }),
    patterns: fc.subarray(PATTERNS),
    placeholder: fc.constantFrom(null, 'p1', 'p2'),
    createdAt: fc.integer({ min: 1, max: 2 }),
  })
  .map(
    ({ id, owner, patterns, placeholder, createdAt }): Grant => ({
      ...grantRow(id, 'a1', 'c', {
        ...{ principal: owner, placeholder, createdAt },
        destinations: patterns.map((pattern) => ({ pattern, port: 443, scheme: 'https' })),
      }),
      credentialName: 'c',
    }),
  );
/** Each step puts some and takes some away; the others stay the same objects. */
const steps = fc.array(fc.record({ put: fc.array(grant, { maxLength: 3 }), drop: fc.subarray(IDS) }), {
  minLength: 1,
  maxLength: 6,
});

const said = (compiled: CompiledAuthority): unknown => ({
  covered: HOSTS.filter((host) => compiled.covers(host, 443)),
  placeholders: new Set(compiled.placeholders),
  grants: AGENTS.map((id) => compiled.grantsOf(id).all),
});

test('brought forward it is the same as made anew', () => {
  fc.assert(
    fc.property(steps, (all) => {
      let grants: readonly Grant[] = [];
      let compiled: CompiledAuthority | null = null;
      for (const [version, { put, drop }] of all.entries()) {
        const left = new Map(grants.filter(({ id }) => !drop.includes(id)).map((each) => [each.id, each]));
        for (const each of put) left.set(each.id, each);
        grants = [...left.values()].sort(byCreation);
        const authority: Authority = { version, agents: new Map(), grants, users: new Map(), delegations: [] };
        const before = compiled;
        const owned = before === null ? null : (said(before) as { grants: unknown; placeholders: unknown });
        compiled = compileAuthority(authority, before);
        expect(said(compiled)).toEqual(said(compileAuthority(authority)));
        if (before !== null) expect(said(before)).toMatchObject({ grants: owned?.grants, placeholders: owned?.placeholders });
      }
    }),
  );
});
