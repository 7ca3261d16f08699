/** The home of a daemon on a host of a central vault that runs beside it for as long as the benchmark does. */
import { mkdirSync } from 'node:fs';
import { loadConfig } from '../../../src/config/load.ts';
import { resolvePaths } from '../../../src/config/paths.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { enrollInstallation } from '../../../src/enrolled-host.ts';
import { LOAD_CPU } from '../process-tree.ts';
import { replicaAt } from './replica.ts';

const HOST = 'bench-host';

/** @param fill makes the agent and what it may use, at the vault with this home */
export async function enrollHome(home: string, agent: string, fill: (vaultHome: string) => Promise<void>): Promise<void> {
  const vaultHome = `${home}-vault`;
  mkdirSync(vaultHome, { recursive: true, mode: 0o700 });
  const { api, url, caFile } = await replicaAt(vaultHome, null, LOAD_CPU).start();
  await fill(vaultHome);
  const { token } = await api.send<{ token: string }>('/v1/hosts', { name: HOST });
  await api.send(`/v1/hosts/${HOST}/assign`, { agents: [agent] });
  const paths = resolvePaths({ home, env: {} });
  await enrollInstallation({
    ...{ paths, configFile: paths.configFile, version: '0.1.0', url, token: new Secret(token) },
    config: loadConfig({ file: paths.configFile, env: {} }).config,
    authority: { file: caFile },
  });
}
