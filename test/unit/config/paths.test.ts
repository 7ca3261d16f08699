/** Where the files are: which variable wins, and that a socket path which the kernel would cut is refused. */
import { homedir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { resolvePaths } from '../../../src/config/paths.ts';
import { AlterError } from '../../../src/domain/errors.ts';

describe('resolvePaths', () => {
  test('refuses a home whose sockets would have over 107 bytes', () => {
    const home = `/${'h'.repeat(107 - '/h/state/proxy.sock'.length + 1)}`;
    expect(Buffer.byteLength(resolvePaths({ home, env: {} }).proxySocket)).toBe(107);
    let thrown: unknown;
    try {
      resolvePaths({ home: `${home}é`, env: {} });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(AlterError);
    expect((thrown as AlterError<'invalid_input'>).details.problems).toEqual([
      expect.stringContaining('has 109: choose a shorter --home'),
    ]);
  });

  test.each([
    ['--home', '/h', { ALTERD_HOME: '/other', STATE_DIRECTORY: '/s' }, '/h/state', '/h/config'],
    ['ALTERD_HOME', undefined, { ALTERD_HOME: '/h', STATE_DIRECTORY: '/s' }, '/h/state', '/h/config'],
    ['systemd', undefined, { STATE_DIRECTORY: '/s:/s2', CONFIGURATION_DIRECTORY: '/c', HOME: '/u' }, '/s', '/c'],
    ['XDG', undefined, { XDG_STATE_HOME: '/xs', XDG_CONFIG_HOME: '/xc', HOME: '/u' }, '/xs/alterd', '/xc/alterd'],
    ['the usual places', undefined, { HOME: '/u' }, '/u/.local/state/alterd', '/u/.config/alterd'],
    ['no relative XDG directory', undefined, { XDG_STATE_HOME: 'x', HOME: '/u' }, '/u/.local/state/alterd', '/u/.config/alterd'],
    [
      'no empty variable',
      undefined,
      { ALTERD_HOME: '', STATE_DIRECTORY: '', HOME: '/u' },
      '/u/.local/state/alterd',
      '/u/.config/alterd',
    ],
    ['the account without HOME', undefined, {}, `${homedir()}/.local/state/alterd`, `${homedir()}/.config/alterd`],
  ])('%s', (_what, home, env, stateDir, configDir) => {
    expect(resolvePaths({ home, env })).toMatchObject({ stateDir, configDir });
  });

  test('the key is beside the configuration, the databases are in the state directory', () => {
    expect(resolvePaths({ home: '/h', env: {} })).toEqual({
      stateDir: '/h/state',
      configDir: '/h/config',
      configFile: '/h/config/alterd.toml',
      masterKeyFile: '/h/config/master.key',
      providersDir: '/h/config/providers',
      policiesDir: '/h/config/policies',
      vaultDb: '/h/state/vault.db',
      auditDir: '/h/state/audit',
      caDir: '/h/state/ca',
      caFile: '/h/state/ca/ca.crt',
      bundleFile: '/h/state/ca/bundle.pem',
      apiSocket: '/h/state/api.sock',
      proxySocket: '/h/state/proxy.sock',
      lockFile: '/h/state/alterd.lock',
    });
  });
});
