'use strict';
// The build puts this beside the command line's bundle, as dist/bundle/cli/main.cjs: runs it in this process. What V8 made of the
// bundle when it was built is read too, where that is there and of this bundle: compiling it anew is a third of a start.
// CommonJS: each of Node's own modules that an ES module imports is loaded with all that it would only load when asked.
const { hash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

const filename = join(__dirname, 'main.script');
const codeFile = join(__dirname, 'main.code');
const source = readFileSync(filename, 'latin1');
const digest = hash('sha256', source, 'hex');

/** V8 itself compares no more than the length of the source. Another version of Node refuses the code, and compiles. */
function compiled() {
  try {
    const kept = readFileSync(codeFile);
    return kept.toString('latin1', 0, digest.length) === digest ? kept.subarray(digest.length) : undefined;
  } catch {
    return undefined;
  }
}

const script = new Script(source, { filename, cachedData: compiled() });
script.runInThisContext()(exports, require, module, filename);

/** For bin/code-cache.js: what belongs into the file of code, when the functions that ran are compiled. */
exports.compiledNow = () => ({ codeFile, contents: Buffer.concat([Buffer.from(digest, 'latin1'), script.createCachedData()]) });
