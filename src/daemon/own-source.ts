/** The vault of a daemon that has its own. Never that of a central vault: its hosts would find nobody, and its agents would be all of theirs. */
import { AlterError } from '../domain/errors.ts';
import { isCentral } from '../vault/fleet-identity.ts';
import { openEmbeddedSource } from './embedded-source.ts';
import type { VaultSource } from './vault-source.ts';

/** @throws AlterError conflict where it is a central vault's; vault_unavailable, audit_unavailable; nothing is left open then */
export const openOwnSource: VaultSource = async (options) => {
  const { paths, loaded } = options;
  // Its database is elsewhere, and a vault of this directory would be an empty one beside it.
  if (loaded.config.vaultServer.database !== null)
    throw centralHome('the configuration names the database of a central vault (vault_server.database)');
  const opened = await openEmbeddedSource(options);
  if (!isCentral(opened.vault.rows)) return opened;
  await opened.vault.close();
  await opened.journal.close();
  throw centralHome(`the vault in ${paths.stateDir} is a central one, which hosts borrow from`);
};

const centralHome = (reason: string): AlterError =>
  new AlterError('conflict', {
    reason: `This is no daemon's home: ${reason}`,
    hint: 'Serve its hosts: `alterd vault start`. For a daemon on this machine take another home: `alterd --home DIR start`, as a host of this vault after `alterd --home DIR enroll …`.',
  });
