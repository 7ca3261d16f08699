/** `alterd vault doctor`: whether a central vault, its database and its machine are as they should be. Looks only; changes nothing. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { FleetView } from '../../api/fleet.ts';
import type { StatusView } from '../../api/status.ts';
import type { Paths } from '../../config/paths.ts';
import type { Config } from '../../config/schema.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { type Finding, failed, ok } from '../doctor/finding.ts';
import { checkCoreDumps, checkJournal } from '../doctor/installation-checks.ts';
import { reportFindings } from '../doctor/report.ts';
import { checkClock, checkDatabase, checkHosts, checkKey } from '../doctor/vault-checks.ts';
import { isClockKept, probeDisk, probeListener, probeMetrics, probePrivacy } from '../doctor/vault-probes.ts';
import { loadSettings } from '../settings.ts';
import { checkConfiguration } from './doctor.ts';

export function defineVaultDoctor(parent: Command, cli: Cli): void {
  const doctor = parent
    .command('doctor')
    .description('check a central vault: keys, database, certificate, hosts, the machine')
    .option('--strict', 'fail also for what works but should be looked at');
  example(doctor, 'alterd vault doctor --output json').action(async (flags: { readonly strict?: boolean }) => {
    reportFindings(cli, await examine(cli), flags.strict === true);
  });
}

async function examine(cli: Cli): Promise<Finding[]> {
  const configuration = checkConfiguration(cli);
  if (configuration.status === 'failed') return [configuration];
  const paths = cli.paths();
  const { config } = loadSettings(cli, paths, {});
  // Loaded only here: it brings the databases along.
  const { examineVault } = await import('../../vault-examination.ts');
  const examination = await examineVault(paths, config, cli.env);
  return [
    configuration,
    ...checkDatabase(examination),
    checkKey(examination),
    checkClock(examination, await isClockKept(cli.env)),
    ...probePrivacy(privateFiles(paths, config)),
    await probeDisk(paths.stateDir),
    ...(await examineServer(cli, config)),
  ];
}

const privateFiles = (paths: Paths, { vaultServer }: Config): (string | null)[] => [
  ...[paths.stateDir, paths.configDir, paths.masterKeyFile, paths.vaultDb, paths.apiSocket],
  ...[vaultServer.databasePasswordFile, vaultServer.tlsKeyFile],
];

async function examineServer(cli: Cli, config: Config): Promise<Finding[]> {
  const client = cli.client();
  let status: StatusView;
  let fleet: FleetView;
  try {
    status = await client.read<StatusView>(apiPath('status'));
    fleet = (await client.read<{ fleet: FleetView }>(apiPath('fleet'))).fleet;
  } catch (error) {
    if (!(error instanceof AlterError)) throw error;
    return [failed('server', error.message, error.code === 'conflict' ? (error.hint ?? '') : 'Start it: `alterd vault start`.')];
  }
  const now = Date.now();
  return [
    ok('server', `version ${status.version}, pid ${status.pid}`),
    checkJournal(status),
    ...(await probeListener(fleet, config, now)),
    await probeMetrics(status.metrics),
    ...checkHosts(fleet, now),
    checkCoreDumps(status.pid),
  ];
}
