/**
 * Child process that talks to the OS keyring through keytar, which is an optional package. It answers one request over IPC;
 * its parent kills it when it does not. Nothing else may import this file or keytar.
 */
import type { KeyringAnswer, KeyringRequest } from './keyring-source.ts';

/** Not a literal at the import: the package may be missing where this is compiled. */
const KEYTAR: string = 'keytar';

interface Keytar {
  readonly getPassword: (service: string, account: string) => Promise<string | null>;
  readonly setPassword: (service: string, account: string, password: string) => Promise<void>;
  readonly deletePassword: (service: string, account: string) => Promise<boolean>;
}

async function answer(request: KeyringRequest): Promise<KeyringAnswer> {
  try {
    const loaded = (await import(KEYTAR)) as Keytar & { readonly default?: Keytar };
    const keytar = loaded.default ?? loaded;
    if (request.remove === true) {
      await keytar.deletePassword(request.service, request.account);
      return { value: null };
    }
    if (request.store === undefined) return { value: await keytar.getPassword(request.service, request.account) };
    await keytar.setPassword(request.service, request.account, request.store);
    return { value: request.store };
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ERR_MODULE_NOT_FOUND') return { failure: 'not installed' };
    return { failure: code ?? (thrown instanceof Error ? thrown.message.slice(0, 200) : 'unknown error') };
  }
}

process.once('message', (request: KeyringRequest) => {
  void answer(request).then((reply) => process.send?.(reply));
});
