/** Before any test: processes that tests start run what the sources say now, whoever built last. A second, and nothing when it is built. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function setup(): void {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const built = spawnSync(process.execPath, ['bin/setup.js', 'bundle'], { cwd: root, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the bundle can not be built:\n${built.stderr}`);
}
