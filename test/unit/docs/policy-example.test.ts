/** config/policy.example.toml loads as it stands, shows everything that a policy can say, and means what its comments say. */
import { expect, test } from 'vitest';
import { loadPolicies } from '../../../src/config/policy-directory.ts';
import { parseFixtures } from '../../../src/config/policy-fixtures.ts';
import {
  LIMIT_KINDS,
  LIMIT_SCOPES,
  NO_CONDITIONS,
  POLICY_LAYERS,
  POLICY_MODES,
  RULE_EFFECTS,
} from '../../../src/domain/policy.ts';
import { runFixture } from '../../../src/policy/policy-fixture.ts';
import { textOf } from './documents.ts';

const FILE = 'config/policy.example.toml';
const enforced = textOf(FILE).replace('mode = "monitor"', 'mode = "enforce"');
const load = (toml: string) => loadPolicies([{ origin: 'file', place: FILE, toml }]);

test('has no problem, and a rule for every effect and every condition', async () => {
  const { problems, loaded } = await load(textOf(FILE));
  expect(problems).toEqual([]);
  const rules = loaded.flatMap(({ policy }) => policy.rules);
  expect(new Set(rules.map(({ effect }) => effect))).toEqual(new Set(RULE_EFFECTS));
  const used = rules.flatMap(({ on, when }) =>
    [on, when].flatMap((conditions) => Object.entries(conditions ?? {}).flatMap(([key, value]) => (value === null ? [] : [key]))),
  );
  expect([...new Set(used)].toSorted()).toEqual(Object.keys(NO_CONDITIONS).toSorted());
  for (const word of [...POLICY_LAYERS, ...POLICY_MODES, ...LIMIT_KINDS, ...LIMIT_SCOPES]) expect(textOf(FILE)).toContain(word);
});

test.each([
  ['2031-01-15T12:00:00Z', 'GET', 'https://api.test/a', 'deny', 'example/from-its-unit'],
  ['2031-01-15T22:00:00Z', 'GET', 'https://api.test/a', 'deny', 'example/office-hours'],
  ['2031-12-22T12:00:00Z', 'POST', 'https://api.test/a', 'deny', 'example/freeze'],
])('%s %s %s: %s by %s', async (at, method, url, expect_, rule) => {
  const { set } = await load(enforced);
  const text = `[[cases]]\nname = "case"\nagent = "research-bot"\nmethod = "${method}"\nurl = "${url}"\nat = ${at}\nexpect = "${expect_}"\nrule = "${rule}"`;
  const [fixture] = parseFixtures(text, FILE).cases;
  if (set === null || fixture === undefined) throw new Error('the example does not load');
  expect(runFixture(set, fixture)).toEqual({ verdict: expect_, rule, passed: true });
});
