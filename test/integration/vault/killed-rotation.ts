/**
 * Daemons that replace their master keys until each has come to a step of its own, where it goes no further; then all of them are killed.
 * In one process: starting one for each takes longer than everything else. Arguments: pairs of a home and the step that it logs last.
 */
import { loadConfig } from '../../../src/config/load.ts';
import { resolvePaths } from '../../../src/config/paths.ts';
import { startDaemon } from '../../../src/daemon.ts';
import { callApi } from '../../helpers/daemon.ts';

const ignore = (): void => {};

async function rotateUntil(home: string, step: string): Promise<void> {
  const paths = resolvePaths({ home, env: {} });
  const load = () => loadConfig({ file: paths.configFile, env: {}, flags: { 'listen.tcp': '127.0.0.1:0' } });
  let isThere = false;
  const info = (_fields: object, message: string): void => {
    if (message !== step) return;
    isThere = true;
    throw new Error('no further');
  };
  await startDaemon({
    ...{ paths, loaded: load(), reloadConfig: load },
    log: { debug: ignore, info, warn: ignore, error: ignore, setLevel: ignore },
  });
  await callApi(paths.apiSocket, 'POST', '/v1/master-key/rotate', {}).catch(ignore);
  if (!isThere) throw new Error(`it never came to "${step}"`);
}

const pairs = process.argv.slice(2);
await Promise.all(pairs.map((home, i) => (i % 2 === 0 ? rotateUntil(home, pairs[i + 1]!) : undefined)));
process.kill(process.pid, 'SIGKILL');
