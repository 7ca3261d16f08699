import { temporaryDirectory } from '../../helpers/temporary.ts';
import { openedVault } from './fixtures.ts';
import { describeVaultPort } from './vault-port-contract.ts';

const directory = temporaryDirectory();

describeVaultPort('The embedded vault', async () => {
  const { vault, clock } = await openedVault(directory());
  return { port: vault, operator: vault, clock, settled: async () => {}, close: () => vault.close() };
});
