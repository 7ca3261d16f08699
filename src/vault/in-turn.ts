/** A change that nobody could try again when another replica was quicker: it is the vault's own, or rests on what can be had once. Never for what a person can ask for again. */
import { StaleEpoch } from '../store/conflicts.ts';
import type { VaultState } from './state.ts';

/** Another replica may change something in the moment between the look and the change. */
const ATTEMPTS = 5;

/** One change after the other; looked at and made again when another replica has changed something in between. */
export async function inTurn<T>(state: VaultState, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await state.exclusive(work);
    } catch (thrown) {
      if (!(thrown instanceof StaleEpoch) || attempt === ATTEMPTS) throw thrown;
    }
  }
}
