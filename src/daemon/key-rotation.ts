/**
 * Replaces the master key while everything goes on. The vault changes over in one transaction, and nothing else decides which key is in
 * force; what hangs on it besides (files, the journal's head and index) is sealed anew afterwards, by a start as well, for as long as both keys are on hand.
 * SECURITY: the key of before is let go of last. Before that a crash at any step leaves an installation that opens; after that the old key opens nothing.
 */
import type { KeyRing } from '../crypto/key-ring.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import type { NextKeyPlace } from '../crypto/next-key.ts';
import { AlterError } from '../domain/errors.ts';
import type { MasterKeyFacts, RotationReport, RotationRequest } from '../domain/master-key-report.ts';
import type { Journal } from '../journal/journal.ts';
import type { DaemonLog } from '../log.ts';
import { ENDED, event } from '../observation.ts';
import type { Vault } from '../vault/vault.ts';
import { headKeyOf } from './journal-room.ts';
import { resealFiles, type SealedFilePaths } from './sealed-files.ts';

export interface KeyRotationParts {
  readonly ring: KeyRing;
  readonly place: NextKeyPlace;
  readonly vault: Pick<Vault, 'rotateMasterKey' | 'rotateDataKey' | 'isRetiredKey' | 'isShared' | 'keySince'>;
  readonly journal: Pick<Journal, 'record' | 'rekey'>;
  readonly paths: SealedFilePaths;
  readonly log: DaemonLog;
}

export class KeyRotation {
  readonly #parts: KeyRotationParts;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(parts: KeyRotationParts) {
    this.#parts = parts;
  }

  get facts(): MasterKeyFacts {
    const { ring, vault } = this.#parts;
    return { source: ring.inForce.source, check: ring.inForce.checkValue, since: vault.keySince };
  }

  /**
   * Puts the next key in force. One that waits is taken; else one is made, which with `stage`, and where there are other replicas,
   * is all that happens: they have to have it before. With `reseal` a new data key follows, and every secret is sealed anew by it.
   * @throws AlterError conflict, audit_unavailable, vault_unavailable
   */
  rotate({ stage, reseal }: RotationRequest): Promise<RotationReport> {
    return this.#inTurn(async () => {
      const { place, ring, vault, log } = this.#parts;
      const waiting = await place.read();
      if (waiting?.checkValue === ring.inForce.checkValue) return this.#finish();
      if (waiting !== undefined && vault.isRetiredKey(waiting))
        throw new AlterError('conflict', {
          reason: `${place.name} holds a key that was in force before`,
          hint: 'Remove it, and run the command again: a new one is made.',
        });
      const next = waiting ?? (await this.#make());
      if (stage || (waiting === undefined && vault.isShared))
        return this.#report('staged', vault.isShared ? [place.howToGive] : []);
      log.info({ source: next.source }, 'the master key is replaced');
      await vault.rotateMasterKey(next);
      log.info({ check: next.checkValue }, 'the vault opens with the new master key');
      await this.#moveAll();
      // SECURITY: last, so that whoever has the key of before can't open the new data key either.
      if (reseal) await vault.rotateDataKey();
      return this.#report('rotated', place.howToPromote === null ? [] : [place.howToPromote], reseal);
    });
  }

  /** Moves what a crash, or another replica, has left under another key than the one in force. @throws AlterError vault_unavailable, audit_unavailable */
  settle(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#parts.ring.others.length > 0) await this.#moveAll();
    });
  }

  /** Runs what has to find everything sealed by one key. */
  undisturbed<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work);
  }

  async #make(): Promise<MasterKey> {
    const { place, ring, journal, log } = this.#parts;
    if (place.howToPromote === null)
      await journal.record(event('vault.master_key_staged', { source: ring.inForce.source }), ENDED);
    const made = await place.make();
    log.info({ check: made.checkValue }, 'a next master key was made');
    return made;
  }

  /** The key in force still waits in the place of the next one. */
  async #finish(): Promise<RotationReport> {
    const { place } = this.#parts;
    if (place.howToPromote !== null)
      throw new AlterError('conflict', { reason: `The key in force is still ${place.name}`, hint: place.howToPromote });
    await this.#moveAll();
    return this.#report('finished', []);
  }

  async #moveAll(): Promise<void> {
    const { ring, paths, journal, log } = this.#parts;
    try {
      for (const file of resealFiles(paths, ring)) log.info({ file }, 'sealed by the new master key');
      await journal.rekey(headKeyOf(ring.inForce));
      log.info({}, 'the journal is sealed by the new master key');
      await this.#letGo();
    } catch (cause) {
      const reason = cause instanceof AlterError && 'reason' in cause.details ? cause.details.reason : (cause as Error).message;
      throw new AlterError(
        'vault_unavailable',
        { reason: `the new master key is in force, but not everything could be moved to it: ${reason}` },
        { cause, hint: 'Correct that, then run the command again or restart: both keys are kept until everything is moved.' },
      );
    }
  }

  /** SECURITY: last: from here on what is still sealed by the key of before would be lost. */
  async #letGo(): Promise<void> {
    const { place, ring, vault, journal, log } = this.#parts;
    const waiting = await place.read();
    const isPromoted = waiting?.checkValue === ring.inForce.checkValue;
    const isOld = waiting !== undefined && vault.isRetiredKey(waiting);
    if (place.howToPromote !== null) {
      if (isPromoted) log.warn({ what: place.howToPromote }, 'the master key in force is passed as the next one');
    } else if (isPromoted || isOld) {
      await journal.record(event('vault.master_key_retired', { source: ring.inForce.source }), ENDED);
      await (isPromoted ? place.promote() : place.drop());
      log.info({}, 'the master key of before is gone');
    }
    ring.forgetOthers();
  }

  #report(outcome: RotationReport['outcome'], todo: readonly string[], isResealed = false): RotationReport {
    return { outcome, ...this.facts, isResealed, waitsIn: outcome === 'staged' ? this.#parts.place.name : null, todo };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}
