/** Starts a module of alterd on a thread of its own. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type TransferListItem, Worker } from 'node:worker_threads';
import { FROM_SOURCE, ownModule } from './root.ts';

/** @param module one of the build's entries (bin/bundle.js), below src: `journal/writer` */
export function startThread(
  module: string,
  name: string,
  workerData: unknown,
  transferList: readonly TransferListItem[] = [],
): Worker {
  const options = { workerData, name, transferList: [...transferList] };
  const code = ownModule(module);
  return FROM_SOURCE
    ? new Worker(builtOf(fileURLToPath(code)), { ...options, eval: true, execArgv: [] })
    : new Worker(code, options);
}

const built = new Map<string, string>();

/**
 * The module as one script, which is what runs when alterd runs from source (tests, `npm run dev`): Node 20 reads no TypeScript, and
 * what teaches it to takes a thread of its own and three times as long, for each thread anew.
 */
function builtOf(file: string): string {
  let script = built.get(file);
  if (script === undefined) {
    const require = createRequire(file);
    const { buildSync } = require('esbuild') as {
      buildSync(options: object): { outputFiles: { text: string }[] };
    };
    const bundled = buildSync({
      entryPoints: [file],
      bundle: true,
      write: false,
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      sourcemap: 'inline',
      logLevel: 'silent',
      define: { 'import.meta.url': '__url' },
      banner: {
        js: `const __url = ${JSON.stringify(ownUrl(file))}; require = require('node:module').createRequire(__url);`,
      },
    });
    script = bundled.outputFiles[0]?.text ?? '';
    built.set(file, script);
  }
  return script;
}

const ownUrl = (file: string): string => new URL(`file://${file}`).href;
