// The last step of the build: puts the sources and the packages that they import into a few files in dist/bundle.
// A start from single modules spends most of its time on finding and reading some 700 of them.
import { build } from 'esbuild';

/** What is started by itself: the command line, threads and children (src/runtime/root.ts, `ownModule`). */
const ENTRIES = ['src/cli/main.ts', 'src/journal/writer.ts', 'src/sinks/worker.ts', 'src/crypto/keyring-child.ts'];

/** Native modules, and what is loaded late by `require`. */
const LEFT_OUT = ['better-sqlite3', 'keytar', 'graphql', 'pg'];

await build({
  entryPoints: ENTRIES,
  outdir: 'dist/bundle',
  outbase: 'src',
  bundle: true,
  // What only some commands need stays in files of its own, which they load when they need them.
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: LEFT_OUT,
  // CommonJS packages in it call `require` for Node's own modules.
  banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);" },
  legalComments: 'none',
  logLevel: 'warning',
});
