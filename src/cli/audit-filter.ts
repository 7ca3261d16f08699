/** The filters that every reading command of `alterd audit` takes, and the query that they become. */
import { type Command, Option } from 'commander';
import type { Query } from '../api/client.ts';
import { parsePast } from './duration.ts';

export interface FilterFlags {
  readonly agent?: string;
  readonly user?: string;
  readonly grant?: string;
  readonly provider?: string;
  readonly credential?: string;
  readonly host?: string;
  readonly method?: string;
  readonly status?: string;
  readonly outcome?: string;
  readonly decision?: string;
  readonly denied?: boolean;
  readonly rule?: string;
  readonly kind?: string;
  readonly action?: string;
  readonly error?: string;
  readonly session?: string;
  readonly key?: string;
  readonly run?: string;
  readonly thread?: string;
  readonly tool?: string;
  readonly trace?: string;
  readonly text?: string;
  readonly since?: string;
  readonly until?: string;
}

const OUTCOMES = ['success', 'refused', 'provider_error', 'client_abort', 'unknown'];

/** Everything but the times. */
const withFields = (command: Command): Command =>
  command
    .option('--agent <name>', 'of this agent')
    .option('--user <who>', 'of this caller, by label or uid')
    .option('--grant <id>', 'of this grant, by id or label')
    .option('--provider <slug>', 'of this provider')
    .option('--credential <name>', 'with this secret')
    .option('--host <host>', 'to this host')
    .option('--method <method>', 'with this HTTP method')
    .option('--status <code>', 'with this HTTP status')
    .addOption(new Option('--outcome <outcome>', 'that ended so').choices(OUTCOMES))
    .addOption(new Option('--decision <decision>', 'that were decided so').choices(['allow', 'deny']))
    .addOption(new Option('--denied', 'that were denied').conflicts('decision'))
    .option('--rule <rule>', 'that this rule decided')
    .addOption(new Option('--kind <kind>', 'of this kind').choices(['exchange', 'tunnel', 'event']))
    .option('--action <action>', 'of this action (agent.created)')
    .option('--error <code>', 'with this error code, or this policy error')
    .option('--session <id>', 'of this session')
    .option('--key <prefix>', 'with this key, by prefix or id')
    .option('--run <id>', 'of this run')
    .option('--thread <id>', 'of this thread')
    .option('--tool <name>', 'of this tool')
    .option('--trace <id>', 'of this trace or run')
    .option('--text <text>', 'with this text in any value');

export const withFilters = (command: Command): Command =>
  withFields(command)
    .option('--since <when>', 'after a time, or that long ago (1h)')
    .option('--until <when>', 'before a time, or that long ago');

/** @throws AlterError invalid_input */
export const filterOf = ({ denied, since, until, method, ...flags }: FilterFlags): Query => ({
  agent: flags.agent,
  user: flags.user,
  grant: flags.grant,
  provider: flags.provider,
  credential: flags.credential,
  host: flags.host,
  method: method?.toUpperCase(),
  status: flags.status,
  outcome: flags.outcome,
  decision: denied === true ? 'deny' : flags.decision,
  rule: flags.rule,
  kind: flags.kind,
  action: flags.action,
  error: flags.error,
  session: flags.session,
  key: flags.key,
  run: flags.run,
  thread: flags.thread,
  tool: flags.tool,
  trace: flags.trace,
  text: flags.text,
  since: since === undefined ? undefined : parsePast(since, '--since'),
  until: until === undefined ? undefined : parsePast(until, '--until'),
});
