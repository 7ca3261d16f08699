/** Starts a file of the product on a thread of its own. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type TransferListItem, Worker } from 'node:worker_threads';

/**
 * Compiled, the thread's code is the .js file beside the one that asks. Run from source it is a .ts file, and tsx, though it runs
 * this thread, has to be registered once more in the new one.
 * @param beside `import.meta.url` of the file that asks
 */
export function startThread(
  beside: string,
  file: string,
  name: string,
  workerData: unknown,
  transferList: readonly TransferListItem[] = [],
): Worker {
  const options = { workerData, name, transferList: [...transferList] };
  if (!/\.ts(?:$|\?)/.test(beside)) return new Worker(new URL(`./${file}.js`, beside), options);
  const tsx = new URL('./dist/esm/api/index.mjs', pathToFileURL(createRequire(beside).resolve('tsx/package.json'))).href;
  const code = new URL(`./${file}.ts`, beside).href;
  const source = `import(${JSON.stringify(tsx)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(code)}); });`;
  return new Worker(source, { ...options, eval: true, execArgv: [] });
}
