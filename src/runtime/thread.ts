/** Starts a module of alterd on a thread of its own. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type TransferListItem, Worker } from 'node:worker_threads';
import { FROM_SOURCE, ownModule } from './root.ts';

/**
 * Run from source, tsx, though it runs this thread, has to be registered once more in the new one.
 * @param module one of the build's entries (bin/setup.js), below src: `journal/writer`
 */
export function startThread(
  module: string,
  name: string,
  workerData: unknown,
  transferList: readonly TransferListItem[] = [],
): Worker {
  const options = { workerData, name, transferList: [...transferList] };
  const code = ownModule(module);
  if (!FROM_SOURCE) return new Worker(code, options);
  const tsx = new URL('./dist/esm/api/index.mjs', pathToFileURL(createRequire(code).resolve('tsx/package.json'))).href;
  const source = `import(${JSON.stringify(tsx)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(code.href)}); });`;
  return new Worker(source, { ...options, eval: true, execArgv: [] });
}
