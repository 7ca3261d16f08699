import { temporaryDirectory } from '../../helpers/temporary.ts';
import { openedVault } from './fixtures.ts';
import { describeVaultPeople } from './people-contract.ts';
import { describeVaultPort, type VaultPortFixture } from './vault-port-contract.ts';

const directory = temporaryDirectory();

const open = async (): Promise<VaultPortFixture> => {
  const { vault, clock } = await openedVault(directory());
  return { port: vault, operator: vault, clock, settled: async () => {}, close: () => vault.close() };
};

describeVaultPort('The embedded vault', open);
describeVaultPeople('The embedded vault', open);
