/** Reads a file of policy test cases. Every problem is told at once, with its place. */
import { AlterError } from '../domain/errors.ts';
import { FIXTURE_VERDICTS, type PolicyFixture } from '../policy/policy-fixture.ts';
import { problemText } from './policy-problem.ts';
import { TableReader } from './table-reader.ts';
import { parseToml } from './toml-document.ts';
import { locateToml } from './toml-position.ts';

export interface FixtureFile {
  /** File or directory of policies, as written; null when the file does not say. */
  readonly policies: string | null;
  readonly cases: readonly PolicyFixture[];
}

/** @throws AlterError invalid_input */
export function parseFixtures(toml: string, place: string): FixtureFile {
  const document = parseToml(toml);
  if ('problem' in document) {
    const { line, column, problem } = document;
    throw new AlterError('invalid_input', { problems: [`${place}:${line ?? 1}:${column ?? 1}: ${problem}`] });
  }
  const { positionOf } = locateToml(toml);
  const problems: string[] = [];
  const reader = new TableReader(document.table, '', (path, message) =>
    problems.push(problemText({ severity: 'error', place, ...positionOf(path), path, message })),
  );
  const policies = reader.optionalText('policies') ?? null;
  const cases = reader.tables('cases', readCase);
  if (cases.length === 0) reader.problem('cases', 'there is none');
  reader.close();
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  return { policies, cases };
}

function readCase(t: TableReader): PolicyFixture {
  const user = t.optionalText('user') ?? null;
  const body = t.optionalText('body') ?? null;
  const at = t.raw('at') ?? new Date(0);
  const instant = at instanceof Date ? at.getTime() : Date.parse(String(at));
  if (Number.isNaN(instant)) t.problem('at', 'must be an instant with its offset, such as 2031-01-31T12:00:00Z');
  const times = t.raw('times') ?? 1;
  const isCount = typeof times === 'number' && Number.isInteger(times) && times >= 1 && times <= 10_000;
  if (!isCount) t.problem('times', 'must be a whole number from 1 to 10000');
  const uid = t.raw('uid') ?? null;
  if (uid !== null && !Number.isInteger(uid)) t.problem('uid', 'must be a whole number');
  return {
    name: t.text('name'),
    agent: t.optionalText('agent') ?? 'agent',
    session: t.toggle('session', false),
    grant: t.optionalText('grant') ?? 'grant',
    provider: t.optionalText('provider') ?? 'provider',
    method: t.optionalText('method') ?? 'GET',
    url: t.text('url', (value) => (/^https?:\/\/[^/]+/.test(value) && URL.canParse(value) ? null : 'must be a URL')),
    headers: t.table('headers', readHeaders) ?? [],
    body,
    mediaType: t.optionalText('media_type') ?? (body === null ? '' : 'application/json'),
    user,
    issuer: t.optionalText('issuer') ?? null,
    groups: t.has('groups') ? t.texts('groups', 'the name of a group', (value) => value) : null,
    source: {
      address: t.optionalText('address') ?? '127.0.0.1:0',
      uid: Number.isInteger(uid) ? (uid as number) : null,
      unit: t.optionalText('unit') ?? null,
      executable: t.optionalText('executable') ?? null,
    },
    at: instant,
    times: isCount ? times : 1,
    expected: t.choice('expect', FIXTURE_VERDICTS),
    rule: t.optionalText('rule') ?? null,
  };
}

const readHeaders = (t: TableReader): string[] => t.keys().flatMap((name) => [name, t.text(name)]);
