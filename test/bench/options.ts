/** What the command line of the benchmark says. Unknown words are errors; nothing is measured before all of it was read. */
import { TARGET_NAMES, TEST_NAMES, VAULT_NAMES } from './names.ts';

export interface Options {
  /** Length of one measured window. */
  readonly seconds: number;
  readonly rounds: number;
  /** Load before the CPU rows: V8 needs seconds at full rate until its code is as fast as it gets. */
  readonly warmSeconds: number;
  readonly tests: readonly string[];
  readonly targets: readonly string[];
  readonly json: string | null;
  /** Write RESULTS.md. */
  readonly record: boolean;
}

const TARGETS: readonly string[] = [...TARGET_NAMES, ...VAULT_NAMES];

export const USAGE = `npm run bench -- [--quick] [--seconds N] [--rounds N] [--warm N] [--tests a,b] [--targets a,b] [--json FILE] [--record]
tests:   ${TEST_NAMES.join(' ')}
targets: ${TARGETS.join(' ')}`;

const MAX_SECONDS = 30;
const MAX_ROUNDS = 21;
const MAX_WARM_SECONDS = 60;

/** @throws Error with all that is wrong */
export function parseOptions(args: readonly string[]): Options {
  const problems: string[] = [];
  const given = new Map<string, string>();
  const flags = new Set<string>();
  for (let i = 0; i < args.length; i++) {
    const [name = '', inline] = (args[i] as string).split('=', 2);
    if (['--quick', '--record', '--help'].includes(name)) flags.add(name);
    else if (['--seconds', '--rounds', '--warm', '--tests', '--targets', '--json'].includes(name)) {
      const value = inline ?? args[++i];
      if (value === undefined || value === '') problems.push(`${name} needs a value`);
      else given.set(name, value);
    } else problems.push(`unknown option ${name}`);
  }
  const number = (name: string, fallback: number, most: number): number => {
    const text = given.get(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!(value > 0 && value <= most)) problems.push(`${name} must be above 0 and at most ${most}`);
    return value;
  };
  const list = (name: string, known: readonly string[]): readonly string[] => {
    const text = given.get(name);
    if (text === undefined) return known;
    const names = text.split(',').filter((part) => part !== '');
    for (const unknown of names.filter((part) => !known.includes(part)))
      problems.push(`${name}: there is no ${unknown}; known are ${known.join(', ')}`);
    // In the order of the table: some tests follow others.
    return known.filter((part) => names.includes(part));
  };
  const quick = flags.has('--quick');
  const options: Options = {
    seconds: number('--seconds', quick ? 1 : 3, MAX_SECONDS),
    rounds: Math.round(number('--rounds', quick ? 1 : 5, MAX_ROUNDS)),
    warmSeconds: number('--warm', quick ? 1 : 8, MAX_WARM_SECONDS),
    tests: list('--tests', TEST_NAMES),
    targets: list('--targets', TARGETS),
    json: given.get('--json') ?? null,
    record: flags.has('--record'),
  };
  if (flags.has('--help')) throw new Error(USAGE);
  if (problems.length > 0) throw new Error(`${problems.join('\n')}\n${USAGE}`);
  return options;
}
