import { describe, expect, it, test } from 'vitest';
import { loadPolicies } from '../../../src/config/policy-directory.ts';
import { problemText } from '../../../src/config/policy-problem.ts';
import { locateToml } from '../../../src/config/toml-position.ts';

const HEAD = 'name = "p"\nlayer = "installation"\n';
const RULE = '[[rules]]\nname = "r"\neffect = "deny"\n';

async function problemsOf(...tomls: string[]): Promise<string[]> {
  const { problems } = await loadPolicies(tomls.map((toml, i) => ({ origin: 'file', place: `${'abc'[i]}.toml`, toml })));
  return problems.map(problemText);
}

describe('every problem has its line and column', () => {
  it.each<[what: string, toml: string, ...problems: string[]]>([
    ['no TOML', 'name = ', 'a.toml:1:8: '],
    ['nothing', '', 'a.toml:1:1: name is missing', 'a.toml:1:1: layer is missing'],
    [
      'unknown keys',
      `${HEAD}moed = "enforce"\n${RULE}efect = 1\n`,
      'a.toml:3:8: moed is not a known key',
      'a.toml:7:9: rules.0.efect is not a known key',
    ],
    ['an unknown layer', 'name = "p"\nlayer = "world"\n', 'a.toml:2:9: layer must be one of "installation"'],
    [
      'a layer without targets',
      `name = "p"\nlayer = "agent"\n${RULE}`,
      'a.toml:1:1: targets is missing: the layer agent needs one',
    ],
    ['targets of everything', `${HEAD}targets = ["x"]\n${RULE}`, 'a.toml:3:1: targets the layer installation has none'],
    ['no rules', HEAD, 'a.toml:1:1: rules there is none'],
    ['a rule twice', `${HEAD}${RULE}${RULE}`, 'a.toml:7:8: rules.1.name "r" is there twice'],
    [
      'an unknown effect',
      `${HEAD}[[rules]]\nname = "r"\neffect = "allow"\n`,
      'a.toml:5:10: rules.0.effect must be one of "deny", "require", "limit", "require_approval"',
    ],
    [
      'a requirement of nothing',
      `${HEAD}[[rules]]\nname = "r"\neffect = "require"\n`,
      'a.toml:3:1: rules.0.when must say what is required',
    ],
    [
      'an unknown condition',
      `${HEAD}${RULE}when = { method = ["GET"] }\n`,
      'a.toml:6:10: rules.0.when.method is not a known key',
    ],
    ['an empty list', `${HEAD}${RULE}when = { methods = [] }\n`, 'a.toml:6:10: rules.0.when.methods must not be empty'],
    [
      'a path glob',
      `${HEAD}${RULE}[rules.when]\npaths = [\n  "/a/**",\n  "/b*",\n]\n`,
      'a.toml:9:3: rules.0.when.paths.1 "/b*" * and ** must stand for whole segments',
    ],
    [
      'a host',
      `${HEAD}${RULE}when = { hosts = ["ok.test", "https://x"] }\n`,
      'a.toml:6:30: rules.0.when.hosts.1 "https://x" must be a host',
    ],
    [
      'a zone',
      `${HEAD}${RULE}[[rules.when.time]]\nzone = "Mars/Olympus"\nfrom = "25:00"\n`,
      'a.toml:7:8: rules.0.when.time.0.zone is no time zone that is known here: "Mars/Olympus"',
      'a.toml:8:8: rules.0.when.time.0.from must be a time',
    ],
    [
      'an empty window',
      `${HEAD}${RULE}when = { time = [{ zone = "UTC", from = "09:00", to = "09:00" }] }\n`,
      'a.toml:6:55: rules.0.when.time.0.to must differ',
    ],
    [
      'a time without offset',
      `${HEAD}${RULE}when = { before = 2026-01-01T00:00:00 }\n`,
      'a.toml:6:19: rules.0.when.before must be an instant with its offset',
    ],
    [
      'a network',
      `${HEAD}${RULE}when = { source = { cidrs = ["10.0.0.0/33"] } }\n`,
      'a.toml:6:30: rules.0.when.source.cidrs.0 "10.0.0.0/33" must be',
    ],
    [
      'two tests of a value',
      `${HEAD}${RULE}when = { query = [{ name = "a", equals = 1, exists = true }] }\n`,
      'a.toml:6:28: rules.0.when.query.0.name needs exactly one of',
    ],
    [
      'a JSON pointer',
      `${HEAD}${RULE}when = { json = [{ pointer = "model", exists = true }] }\n`,
      'a.toml:6:30: rules.0.when.json.0.pointer must be a JSON pointer',
    ],
    ['a limit without one', `${HEAD}[[rules]]\nname = "r"\neffect = "limit"\n`, 'a.toml:3:1: rules.0.limit is missing'],
    [
      'a limit of zero',
      `${HEAD}[[rules]]\nname = "r"\neffect = "limit"\nlimit = { kind = "sliding_window", requests = 0, per = "1 hour", burst = 2 }\n`,
      'a.toml:6:47: rules.0.limit.requests must be a whole number',
      'a.toml:6:56: rules.0.limit.per must be a duration',
      'a.toml:6:74: rules.0.limit.burst only a token_bucket has one',
    ],
    [
      'a limit of a denial',
      `${HEAD}${RULE}limit = { kind = "fixed_window", requests = 1, per = "1h" }\n`,
      'a.toml:6:1: rules.0.limit only a rule with effect = "limit" has one',
    ],
  ])('%s', async (_what, toml, ...problems) => {
    expect(await problemsOf(toml)).toEqual(problems.map((problem) => expect.stringContaining(problem) as string));
  });

  test('one name in two files, and the problems of all files at once', async () => {
    expect(
      await problemsOf(
        `${HEAD}${RULE}`,
        `${HEAD}${RULE.replace('"deny"', '"no"')}`,
        `${HEAD}${RULE}when = { methods = ["GET"] }\n`,
      ),
    ).toEqual([
      expect.stringContaining('b.toml:5:10: rules.0.effect'),
      expect.stringContaining('c.toml:1:8: name "p" is the name of the policy in a.toml too'),
      expect.stringContaining('c.toml:3:1: rules.0 the rule "r" adds nothing: p/r covers it'),
    ]);
  });
});

describe('expressions are checked when they are loaded', () => {
  it.each<[cel: string, place: string, problem: string]>([
    [`'request.metod == "GET"'`, '6:24', 'request has no metod; it has method, scheme'],
    [`"usr.id == 'a'"`, '6:17', 'there is no usr'],
    [`"request.method == \\"GET\\" && agnt.name == 'x'"`, '6:46', 'there is no agnt'],
    [`'''\nrequest.method == "GET" &&\n  request.path.startWith("/")'''`, '8:15', 'string has no function startWith'],
    [`'request.port == "443"'`, '6:30', 'int is never equal to string'],
    [`'request.path'`, '6:24', 'must be true or false, not string'],
    [`'request.method == '`, '6:32', 'end of input'],
    [`'request.path.matches(request.host)'`, '6:45', 'must be written out'],
    [`'request.segments.exists(a, request.segments.exists(b, a == b))'`, '6:60', 'a loop in a loop'],
    [`'frobnicate(1)'`, '6:17', 'there is no function frobnicate'],
    [`'"GET" in request.method'`, '6:33', 'must be list or map, not string'],
    [`'request.headers["x"] == "1"'`, '6:37', 'a list of string is never equal to string'],
    [`'source.uid.foo == 1'`, '6:27', 'int has no members'],
    [`'{"a": 1}["a"] == 1'`, '6:17', 'can not be made in a policy'],
    [`'request.port + "a" == "b"'`, '6:30', 'do not go together'],
    [`'time.getHours(5) == 1'`, '6:21', 'timestamp has no function getHours'],
    [`'[1, "a"].exists(x, x == 1)'`, '6:21', 'the list holds several types'],
  ])('%s: %s %s', async (cel, place, problem) => {
    const found = await problemsOf(`${HEAD}${RULE}when = { cel = ${cel} }\n`);
    expect(found).toEqual([expect.stringContaining(problem) as string]);
    expect(found[0]?.split(':').slice(1, 3).join(':')).toBe(place);
  });

  test('a right one has no problem; a long or a huge one is refused', async () => {
    const right = `'request.method in ["GET", "HEAD"] && !request.segments.exists(s, s == "admin") && time > timestamp("2020-01-01T00:00:00Z")'`;
    expect(await problemsOf(`${HEAD}${RULE}when = { cel = ${right} }\n`)).toEqual([]);
    const huge = `'${Array.from({ length: 200 }, () => 'true').join(' || ')}'`;
    expect(await problemsOf(`${HEAD}${RULE}when = { cel = ${huge} }\n`)).toEqual([
      expect.stringContaining('more than 256 parts') as string,
    ]);
    expect(await problemsOf(`${HEAD}${RULE}when = { cel = '${' '.repeat(3000)}true' }\n`)).toEqual([
      expect.stringContaining('more than 2048 characters') as string,
    ]);
  });
});

test('positions are those of the text: dotted keys, quotes, escapes, long strings', () => {
  const text = 'a.b."c d" = { e = [1, "\\u0041b"] } # x = 1\n[[t]]\n[[t]]\nu.v = """\nx"y\\\n  z"""\n';
  const { positionOf, positionIn } = locateToml(text);
  expect(positionOf('a.b.c d.e.1')).toEqual({ line: 1, column: 23 });
  expect(positionOf('a.b')).toEqual({ line: 1, column: 1 });
  expect(positionIn('a.b.c d.e.1', 1)).toEqual({ line: 1, column: 30 });
  expect(positionOf('t.1')).toEqual({ line: 3, column: 1 });
  expect(positionOf('t.1.u.v.nothing')).toEqual({ line: 4, column: 7 });
  expect(positionIn('t.1.u.v', 3)).toEqual({ line: 6, column: 3 });
});
