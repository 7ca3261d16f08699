/** Entry of the CLI: runs the command line of this process and ends with its status once everything is written. */
import { VERSION } from '../runtime/version.ts';

/** A reader that has enough (`alterd audit list | head`) is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.stderr.on('error', () => {});

async function run(argv: readonly string[]): Promise<void> {
  if (argv.length === 1 && argv[0] === '--version') {
    // Scripts ask this often, and it needs no command tree.
    process.stdout.write(`${VERSION}\n`);
    return;
  }
  const { runProgram } = await import('./program.ts');
  process.exitCode = await runProgram({ argv, env: process.env, stdout: process.stdout, stderr: process.stderr });
}

void run(process.argv.slice(2));
