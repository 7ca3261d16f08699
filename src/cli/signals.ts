/** Signals of a process that serves until it is told to stop. */
import { EXIT } from './exit-codes.ts';

/** Listens from before the start: a signal that comes during it must not be lost. A second one ends at once. */
export function untilSignal(): { readonly signal: Promise<NodeJS.Signals> } {
  const signal = new Promise<NodeJS.Signals>((resolve) => {
    let isAsked = false;
    const onSignal = (name: NodeJS.Signals): void => {
      if (isAsked) process.exit(EXIT.error);
      isAsked = true;
      resolve(name);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  return { signal };
}
