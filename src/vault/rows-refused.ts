/**
 * Why rows that the MAC does not vouch for are refused, in words. By the time that these are asked it is decided: nothing here may make rows good.
 */
import { AlterError } from '../domain/errors.ts';
import type { Store } from '../store/store.ts';

export const unusable = (
  reason: string,
  hint = 'Restore the database from a backup; what was changed can not be trusted.',
): AlterError => new AlterError('vault_unavailable', { reason }, { hint });

/** @param between which changes, where that is known */
export async function notVouchedFor(store: Store, between = ''): Promise<AlterError> {
  // Where replicas are updated one after the other, a backup is the wrong thing to reach for.
  const isOlder = (await store.isBehindSchema?.().catch(() => false)) === true;
  return isOlder
    ? unusable(
        `a newer alterd keeps something in its database that this one can't read${between}`,
        'Update this replica; when all are as new as the newest, the database was changed by something other than alterd.',
      )
    : unusable(`its database was changed by something other than alterd${between}`);
}
