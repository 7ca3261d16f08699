/** What keeps a set of changes from being applied although nothing is wrong with it: somebody else was there first. */
import { AlterError } from '../domain/errors.ts';

/** The epoch is another one by now: who loads again can try again. */
export class StaleEpoch extends AlterError<'conflict'> {
  constructor() {
    super('conflict', { reason: 'The vault was changed by somebody else', hint: 'Try again.' });
  }
}

/** The lease that the changes were made under belongs to somebody else by now. */
export class LostLease extends AlterError<'conflict'> {
  constructor() {
    super('conflict', { reason: 'Somebody else does the same work by now', hint: 'Try again.' });
  }
}
