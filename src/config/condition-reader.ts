/**
 * Reads the conditions of a policy rule: `[rules.when]` and `[rules.on]`. Every problem is told with its path; a value that is not
 * understood never becomes a condition that means something else.
 */
import { isIP } from 'node:net';
import { parseHostPattern } from '../domain/host.ts';
import type { Conditions, Scalar, SourceTest, TimeWindow, ValueTest } from '../domain/policy.ts';
import { validatePathGlob } from '../policy/path.ts';
import { cidrProblem } from '../policy/source-condition.ts';
import { isKnownZone } from '../policy/time-window.ts';
import type { TableReader } from './table-reader.ts';

const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MAX_ITEMS = 100;
const MAX_TEXT = 512;

export function readConditions(t: TableReader): Conditions {
  const text = (key: string, expected: string, read: (value: string) => string | null = shortText): string[] | null =>
    t.has(key) ? notEmpty(t, key, t.texts(key, expected, read)) : null;
  return {
    hosts: text('hosts', 'a host, *.example.com, or *', readHostPattern),
    methods: text('methods', 'a method such as GET', (value) =>
      /^[A-Za-z][A-Za-z-]{0,31}$/.test(value) ? value.toUpperCase() : null,
    ),
    paths: readPaths(t),
    query: t.has('query') ? t.tables('query', (each) => readValueTest(each, 'name')) : null,
    headers: t.has('headers') ? t.tables('headers', (each) => readValueTest(each, 'name')) : null,
    time: t.has('time') ? t.tables('time', readWindow) : null,
    before: readInstant(t, 'before'),
    after: readInstant(t, 'after'),
    source: t.table('source', readSource) ?? null,
    users: text('users', 'the id of a user, or *'),
    issuers: text('issuers', 'the URL of an issuer', (value) => (/^https?:\/\/[^/\s]+/.test(value) ? value : null)),
    groups: text('groups', 'the name of a group'),
    git: text('git', '"read" or "write"', (value) => (value === 'read' || value === 'write' ? value : null)) as
      | ('read' | 'write')[]
      | null,
    json: t.has('json') ? t.tables('json', (each) => readValueTest(each, 'pointer')) : null,
    graphql:
      t.table('graphql', (g) => {
        const kinds = listOf(g, 'kinds', '"query", "mutation" or "subscription"', (value) =>
          ['query', 'mutation', 'subscription'].includes(value) ? value : null,
        );
        return { kinds, fields: listOf(g, 'fields', 'the name of a root field, with * for any text', shortText) };
      }) ?? null,
    jsonrpc:
      t.table('jsonrpc', (rpc) => ({
        methods: listOf(rpc, 'methods', 'a method, with * for any text', shortText),
        tools: listOf(rpc, 'tools', 'a tool, with * for any text', shortText),
      })) ?? null,
    cel: t.optionalText('cel', (value) => (value.trim() === '' ? 'must not be empty' : null)) ?? null,
  };
}

const shortText = (value: string): string | null => (value !== '' && value.length <= MAX_TEXT ? value : null);

function listOf(t: TableReader, key: string, expected: string, read: (value: string) => string | null): string[] | null {
  return t.has(key) ? notEmpty(t, key, t.texts(key, expected, read)) : null;
}

/** SECURITY: an empty list would be a condition that never holds, or always: neither is what somebody meant. */
function notEmpty(t: TableReader, key: string, values: string[]): string[] {
  if (values.length === 0 && t.problems === 0) t.problem(key, 'must not be empty');
  if (values.length > MAX_ITEMS) t.problem(key, `must have at most ${MAX_ITEMS} values`);
  return values;
}

function readHostPattern(value: string): string | null {
  if (value === '*') return value;
  try {
    return value.startsWith('*.') ? `*.${parseHostPattern(value.slice(2))}` : parseHostPattern(value);
  } catch {
    return null;
  }
}

function readPaths(t: TableReader): string[] | null {
  if (!t.has('paths')) return null;
  const globs = t.texts('paths', 'a path such as /repos/**', (value) => value);
  globs.forEach((glob, index) => {
    const problem = validatePathGlob(glob);
    if (problem !== null) t.problem(`paths.${index}`, `${JSON.stringify(glob)} ${problem}`);
  });
  return notEmpty(t, 'paths', globs);
}

const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'boolean' ||
  (typeof value === 'string' && value.length <= MAX_TEXT) ||
  (typeof value === 'number' && Number.isFinite(value));

function readValueTest(t: TableReader, nameKey: 'name' | 'pointer'): ValueTest {
  const name = t.text(nameKey, (value) => {
    if (nameKey === 'pointer')
      return value === '' || /^(\/([^~]|~[01])*)+$/.test(value) ? null : 'must be a JSON pointer such as /model';
    return value === '' || value.length > 128 ? 'must be a name' : null;
  });
  const given = ['exists', 'equals', 'one_of', 'glob'].filter((key) => t.has(key));
  if (given.length !== 1) t.problem(nameKey, 'needs exactly one of exists, equals, one_of and glob');
  const exists = t.has('exists') ? t.toggle('exists', true) : null;
  const equals = t.raw('equals');
  const list = t.raw('one_of');
  if (equals !== undefined && !isScalar(equals)) t.problem('equals', 'must be a string, a number, true or false');
  const isList = Array.isArray(list) && list.length > 0 && list.length <= MAX_ITEMS && list.every(isScalar);
  if (list !== undefined && !isList) t.problem('one_of', `must be a list of 1 to ${MAX_ITEMS} strings, numbers or booleans`);
  const glob = t.optionalText('glob', (value) => (value.length <= MAX_TEXT ? null : 'is too long')) ?? null;
  const oneOf = isScalar(equals) ? [equals] : isList ? (list as Scalar[]) : null;
  return { name, exists, oneOf, glob };
}

function readWindow(t: TableReader): TimeWindow {
  const zone = t.text('zone', (value) =>
    isKnownZone(value) ? null : `is no time zone that is known here: ${JSON.stringify(value)}`,
  );
  const days = listOf(t, 'weekdays', 'one of mon, tue, wed, thu, fri, sat, sun', (value) =>
    WEEKDAYS.includes(value.toLowerCase()) ? value.toLowerCase() : null,
  );
  const fromMinute = readMinute(t, 'from', 0);
  const toMinute = readMinute(t, 'to', 24 * 60);
  if (fromMinute === toMinute) t.problem('to', 'must differ from "from"; leave both out for the whole day');
  if (fromMinute === 24 * 60) t.problem('from', 'must be before 24:00');
  return { zone, weekdays: days === null ? null : days.map((day) => WEEKDAYS.indexOf(day)), fromMinute, toMinute };
}

function readMinute(t: TableReader, key: string, initial: number): number {
  const text = t.optionalText(key, (value) =>
    /^([01]\d|2[0-3]):[0-5]\d$|^24:00$/.test(value) ? null : 'must be a time such as 09:00',
  );
  if (text === undefined || !/^\d\d:\d\d$/.test(text)) return initial;
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
}

/** A TOML date-time with an offset, or the same as a string. */
function readInstant(t: TableReader, key: string): number | null {
  const raw = t.raw(key);
  if (raw === undefined) return null;
  const text = raw instanceof Date ? raw.toISOString() : raw;
  const isExact = typeof text === 'string' && /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text);
  const at = isExact ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
  if (Number.isNaN(at)) t.problem(key, 'must be an instant with its offset, such as 2031-01-31T12:00:00Z');
  return at;
}

function readSource(t: TableReader): SourceTest {
  const cidrs = listOf(t, 'cidrs', 'an address or a network such as 10.0.0.0/8', (value) =>
    cidrProblem(value) === null && isIP(value.split('/')[0] as string) !== 0 ? value : null,
  );
  const uids = t.raw('uids');
  const isUids = Array.isArray(uids) && uids.length > 0 && uids.every((uid) => Number.isInteger(uid) && uid >= 0);
  if (uids !== undefined && !isUids) t.problem('uids', 'must be a list of whole numbers');
  return {
    cidrs,
    uids: isUids ? (uids as number[]) : null,
    units: listOf(t, 'units', 'a systemd unit, with * for any text', shortText),
    executables: listOf(t, 'executables', 'a path, with * for any text', (value) =>
      /^[/*]/.test(value) ? shortText(value) : null,
    ),
  };
}
