/** What keeps a set of changes from being applied although nothing is wrong with it: somebody else was there first, or the answer is lost. */
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

/** The connection was lost while the changes were being made durable: they were made, or they were not. */
export class CommitUnknown extends AlterError<'vault_unavailable'> {
  /** @param place host and port of the database, without the user */
  constructor(place: string, cause: unknown) {
    super(
      'vault_unavailable',
      { reason: `the connection to the database at ${place} was lost during the change; it may have been made or not` },
      { cause, hint: 'Look whether it was made (`alterd … list`) before you do it again.' },
    );
  }
}
