/**
 * Questions to a person. Asked only when stdin and stderr are terminals, and written to stderr: stdout is for data.
 * Without a terminal nothing is ever assumed to be confirmed.
 */
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import { Cancelled, EXIT } from './exit-codes.ts';

export const isInteractive = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true;

/** Asks before something that can't be undone. @throws AlterError invalid_input without a terminal; Cancelled */
export async function confirm(question: string, isYes: boolean): Promise<void> {
  if (isYes) return;
  if (!isInteractive()) {
    throw new AlterError(
      'invalid_input',
      { problems: [`this needs a confirmation and there is no terminal to ask on: ${question}`] },
      { hint: 'Add --yes to confirm it; nothing was changed.' },
    );
  }
  const answer = await ask((clack) => clack.confirm({ message: question, initialValue: false, output: process.stderr }));
  if (answer !== true) throw new Cancelled();
}

/** A value that isn't shown while it is typed. @throws AlterError invalid_input without a terminal; Cancelled */
export async function askSecret(message: string, otherwise: string): Promise<Secret> {
  requireTerminal(otherwise);
  return new Secret(
    await ask((clack) =>
      clack.password({
        message,
        mask: '*',
        output: process.stderr,
        validate: (text) => (text ? undefined : 'Nothing was typed.'),
      }),
    ),
  );
}

/** A value that may be seen. @throws AlterError invalid_input without a terminal; Cancelled */
export async function askText(message: string, otherwise: string): Promise<string> {
  requireTerminal(otherwise);
  return ask((clack) =>
    clack.text({ message, output: process.stderr, validate: (text) => (text ? undefined : 'Nothing was typed.') }),
  );
}

function requireTerminal(otherwise: string): void {
  if (!isInteractive()) {
    throw new AlterError('invalid_input', { problems: ['there is no terminal to ask on'] }, { hint: otherwise });
  }
}

type Clack = typeof import('@clack/prompts');

async function ask<T>(question: (clack: Clack) => Promise<T>): Promise<Exclude<T, symbol>> {
  // A prompt whose input ends leaves the process to end with status 13, no word and a hidden cursor.
  const onExit = (): void => {
    process.exitCode = EXIT.cancelled;
    process.stderr.write(`\u001b[?25h\nalterd: error: ${new Cancelled().message}\n`);
  };
  process.once('exit', onExit);
  const clack = await import('@clack/prompts');
  const answer = await question(clack);
  process.off('exit', onExit);
  if (clack.isCancel(answer)) throw new Cancelled();
  return answer as Exclude<T, symbol>;
}
