/** The pages of a consent over a vault, as a daemon and a central vault serve them alike. */
import type { Config } from '../config/schema.ts';
import type { AlterError } from '../domain/errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { DaemonLog } from '../log.ts';
import { ConnectSessions } from '../vault/connect-sessions.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';
import { ConnectPages } from '../web/pages.ts';
import { ReconnectLinks, withReconnectLink } from '../web/reconnect-links.ts';

export interface PagesOptions {
  readonly config: Config['connect'];
  readonly vault: Pick<VaultRooms, 'agents' | 'connect' | 'clients'>;
  readonly journal: Journal;
  readonly providers: ProviderSource;
  readonly log: DaemonLog;
}

/** Behind a name of its own, the page answers from the start; else the port is opened when it is first needed. @throws AlterError conflict */
export async function openPages({ config, vault, journal, providers, log }: PagesOptions): Promise<ConnectPages> {
  const pages = new ConnectPages({
    config,
    sessions: new ConnectSessions({ audit: journal, findAgent: (name) => vault.agents.find(name) }),
    flows: vault.connect,
    providers,
    clients: vault.clients,
    onFault: (error) => log.error({ stack: (error as Error | undefined)?.stack }, 'the Connect page failed in an unexpected way'),
  });
  if (config.publicUrl !== null && config.listen !== null) await pages.open();
  return pages;
}

/** Puts the link with which an account is connected again into the refusal that asks for it. */
export function explainerOf(
  vault: Pick<VaultRooms, 'grants' | 'secrets'>,
  pages: ConnectPages,
): (error: AlterError) => Promise<AlterError> {
  const links = new ReconnectLinks({
    pages,
    find: (id) => {
      const grant = vault.grants.find(id);
      return { grant, credential: vault.secrets.find(grant.credentialId) };
    },
  });
  return (error) => withReconnectLink(error, links);
}
