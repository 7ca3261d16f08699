/** `alterd doctor`: checks the installation, and makes a real request with each kind of client that this machine has. */
import type { Command } from 'commander';
import type { CaView } from '../../api/ca.ts';
import { type ApiClient, apiPath } from '../../api/client.ts';
import type { StatusView } from '../../api/status.ts';
import type { AgentView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import { applied, openAgentSession } from '../agent-environment.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { probeClients } from '../doctor/client-probes.ts';
import { type Finding, failed, ok, skipped } from '../doctor/finding.ts';
import {
  checkCaFiles,
  checkCoreDumps,
  checkIsolation,
  checkJournal,
  checkPrivacy,
  checkProxyGate,
  checkSudo,
  checkVaultLink,
} from '../doctor/installation-checks.ts';
import { reportFindings } from '../doctor/report.ts';
import { loadSettings } from '../settings.ts';

interface DoctorFlags {
  readonly agent?: string;
  readonly clients: boolean;
  readonly strict?: boolean;
}

const SESSION_MS = 10 * 60_000;

export function defineDoctor(command: Command, cli: Cli): void {
  command
    .option('--agent <name>', 'try the clients as this agent (default: the first active one)')
    .option('--no-clients', 'only the installation')
    .option('--strict', 'fail also for what works but does not protect');
  example(command, 'alterd doctor --output json').action(async (flags: DoctorFlags) => {
    reportFindings(cli, await examine(cli, flags), flags.strict === true);
  });
}

async function examine(cli: Cli, flags: DoctorFlags): Promise<Finding[]> {
  const findings: Finding[] = [checkConfiguration(cli)];
  const client = cli.client();
  let status: StatusView;
  try {
    status = await client.read<StatusView>(apiPath('status'));
  } catch (error) {
    if (!(error instanceof AlterError)) throw error;
    return [
      ...findings,
      failed('daemon', error.message, error.hint ?? 'Start it with `alterd start`.'),
      await checkSudo(cli.env),
    ];
  }
  findings.push(ok('daemon', `version ${status.version}, pid ${status.pid}`), checkJournal(status));
  // Agents, and all that they need, are on its hosts.
  if (status.serves_at !== null)
    return [
      ...findings,
      skipped('proxy', `this is a central vault, at ${status.serves_at}`, 'Look at it as one: `alterd vault doctor`.'),
    ];
  const ca = await client.read<CaView>(apiPath('ca'));
  findings.push(
    ...checkVaultLink(status.vault),
    ...checkCaFiles(ca, Date.now()),
    await checkProxyGate(status.proxy.tcp),
    ...checkPrivacy(status, client.socketPath),
    checkIsolation(status.pid),
    checkCoreDumps(status.pid),
    await checkSudo(cli.env),
  );
  return flags.clients ? [...findings, ...(await tryClients(cli, client, status, flags.agent))] : findings;
}

export function checkConfiguration(cli: Cli): Finding {
  try {
    loadSettings(cli, cli.paths(), {});
    return ok('configuration', 'valid');
  } catch (error) {
    if (!(error instanceof AlterError)) throw error;
    return failed(
      'configuration',
      error.message,
      'Correct what is named; `alterd config validate` shows each problem on a line.',
    );
  }
}

async function tryClients(cli: Cli, client: ApiClient, status: StatusView, named: string | undefined): Promise<Finding[]> {
  if (status.proxy.tcp === null) return [skipped('clients', 'the proxy has no TCP listener')];
  const { agents } = await client.read<{ agents: AgentView[] }>(apiPath('agents'));
  const agent = named ?? agents.find((each) => each.status === 'active')?.name;
  if (agent === undefined)
    return [
      skipped(
        'clients',
        'there is no agent to try them as',
        status.vault === null
          ? 'Make one, then run doctor again: `alterd agent create NAME`.'
          : 'At the vault: `alterd vault host assign HOST --agent NAME`.',
      ),
    ];
  cli.output.note(`Trying the clients of this machine as ${agent} …`);
  const session = await openAgentSession(client, { agent, ttlMs: SESSION_MS, label: 'doctor' }, cli.env);
  try {
    return await probeClients(session.agent, applied(session.environment, cli.env));
  } finally {
    await client.remove(apiPath('sessions', session.sessionId)).catch(() => {});
  }
}
