/** The program as it is built, for tests that start it as a process. Built from today's sources by `build-first.ts`. */
import { fileURLToPath } from 'node:url';

/** Runs with Node, from any directory. */
export const PROGRAM: string = fileURLToPath(new URL('../../dist/bundle/cli/main.cjs', import.meta.url));
