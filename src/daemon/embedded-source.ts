/** The vault in the daemon's own state directory, held against the journal beside it before anyone is served. */
import { AlterError } from '../domain/errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { DaemonLog } from '../log.ts';
import type { Store } from '../store/store.ts';
import { continuityFault } from '../vault/continuity.ts';
import { openVault, type Vault } from '../vault/vault.ts';
import { type Backup, writeBackup } from './backup.ts';
import { HeldKeys } from './held-keys.ts';
import { JournalRoom } from './journal-room.ts';
import { KeyRotation } from './key-rotation.ts';
import type { BackupPort, OpenedSource, VaultSourceOptions } from './vault-source.ts';

/** How soon a replica knows what another one changed. */
const FOLLOW_EVERY_MS = 100;

export interface EmbeddedSourceOptions extends VaultSourceOptions {
  /** A database that others write to as well; absent: the file in the state directory. */
  readonly openStore?: (() => Promise<Store>) | undefined;
}

/** An opened source whose vault is this process's own. */
export interface EmbeddedSource extends OpenedSource {
  readonly vault: Vault;
  readonly backup: BackupPort;
  readonly rotation: KeyRotation;
}

/** @throws AlterError vault_unavailable, audit_unavailable; nothing is left open then */
export async function openEmbeddedSource(options: EmbeddedSourceOptions): Promise<EmbeddedSource> {
  const { paths, loaded, log, meter } = options;
  const room = new JournalRoom({ paths, config: loaded.config, log, meter, writer: options.writer });
  const keys = new HeldKeys({ paths, config: loaded.config, log }, (ring) => room.begin(ring));
  let vault: Vault | null = null;
  try {
    vault = await openVault({
      dbFile: paths.vaultDb,
      openStore: options.openStore,
      followEveryMs: options.openStore === undefined ? undefined : FOLLOW_EVERY_MS,
      masterKey: (recorded) => keys.load(recorded),
      keyWatch: keys,
      catalogue: options.catalogue,
      audit: room.audit,
      https: options.https,
      policiesDir: paths.policiesDir,
    });
    const journal = await room.opened();
    await joinHistory(vault, journal, log, { isShared: options.openStore !== undefined, isAccepted: options.acceptRestore });
    const { ring, place } = keys;
    const rotation = new KeyRotation({ ring, place, vault, journal, paths, log });
    const settle = async (): Promise<void> => {
      try {
        await rotation.settle();
      } catch (error) {
        // Both keys are on hand until it succeeds, and everything opens with one of them.
        log.error({ reason: (error as Error).message }, 'the master key of before is still needed');
      }
    };
    keys.onReplaced = () => void settle();
    // What a crash in a rotation has left, or other replicas have changed meanwhile.
    await settle();
    const opened = { vault, journal, ring, rotation };
    const backUp = (directory: string): Promise<Backup> => writeBackup({ ...opened, paths }, directory);
    return { ...opened, backup: { write: (directory) => rotation.undisturbed(() => backUp(directory)) } };
  } catch (thrown) {
    await vault?.close();
    await room.abandon();
    throw thrown;
  }
}

/**
 * Holds the vault against the journal before anyone is served, and keeps the two together from then on.
 * @throws AlterError vault_unavailable when one of them is an older copy, or gone
 */
async function joinHistory(
  vault: Vault,
  journal: Journal,
  log: DaemonLog,
  { isShared, isAccepted }: { readonly isShared: boolean; readonly isAccepted: boolean },
): Promise<void> {
  const facts = {
    vaultEpoch: vault.epoch,
    // Replicas have a journal each: the vault belongs to none of them. Each remembers how far it saw the vault come.
    vaultJournal: isShared ? null : vault.recordedJournal,
    journal: journal.mark,
    journalEpoch: journal.epochAtStart,
  };
  const fault = continuityFault(facts);
  if (fault !== null && !isAccepted) throw new AlterError('vault_unavailable', { reason: fault }, { hint: RESTORE_HINT });
  if (!isShared) vault.bindJournal(journal.mark);
  if (!isShared && facts.journalEpoch !== null && facts.vaultEpoch > facts.journalEpoch)
    log.warn(
      { vault_epoch: facts.vaultEpoch, journal_epoch: facts.journalEpoch },
      'the audit journal does not know the last change of the vault: the daemon was killed in that moment, or the journal is an older copy',
    );
  if (fault !== null) {
    await vault.acceptRestore({ reason: fault, vault_epoch: facts.vaultEpoch, journal_epoch: facts.journalEpoch });
    log.warn({ reason: fault }, 'an operator accepted the vault as it is');
  }
  let noted = vault.epoch;
  const first = journal.noteEpoch(noted);
  if (fault !== null) await first;
  vault.onAuthorityChange(() => {
    if (vault.epoch === noted) return;
    noted = vault.epoch;
    void journal.noteEpoch(noted);
  });
}

const RESTORE_HINT =
  'If you restored a backup yourself: `alterd start --accept-restore`, once; it is recorded. If not: somebody put an older copy in place; ' +
  'bring back the newest state directory, or accept it and revoke again what was revoked (`alterd audit` knows).';
