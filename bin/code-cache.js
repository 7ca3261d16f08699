// Part of the build (bin/bundle.js): starts the daemon once in a directory of its own, and keeps what V8 compiled for that.
// A function that no start needs is compiled when it is called, as always.
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';

const [home = ''] = process.argv.slice(2);
const WAIT_MS = 20_000;

process.argv = [process.argv[0], 'alterd', '--home', home, '--quiet', 'start', '--listen', '127.0.0.1:0'];
const { compiledNow } = createRequire(import.meta.url)('../dist/bundle/cli/main.cjs');
for (const until = performance.now() + WAIT_MS; !existsSync(join(home, 'state', 'api.sock')); await pause(20)) {
  if (performance.now() > until) throw new Error('the daemon does not start');
}
// V8 refuses code that was compiled under other flags. The daemon sets this one (src/daemon/heap.ts); a new process has not, yet.
setFlagsFromString('--allocation-site-pretenuring');
const { codeFile, contents } = compiledNow();
writeFileSync(`${codeFile}.new`, contents);
renameSync(`${codeFile}.new`, codeFile);
process.kill(process.pid, 'SIGTERM');
