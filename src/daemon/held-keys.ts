/**
 * The master keys of this process: loaded for the vault at its start, looked for again when another replica has put one in force. Part of
 * the composition root. It must never hand a key on that the vault has not opened with.
 */
import type { Paths } from '../config/paths.ts';
import type { Config } from '../config/schema.ts';
import type { KeyRing } from '../crypto/key-ring.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { findMasterKey, loadKeyRing, type NextKeyPlace, nextKeyPlace } from '../crypto/next-key.ts';
import { masterKeyPlace } from '../installation.ts';
import type { DaemonLog } from '../log.ts';
import type { KeyWatch, RecordedKey } from '../vault/vault-keys.ts';

/** A key that is missed is looked for this often: a keyring costs a process each time. */
const LOOK_EVERY_MS = 1_000;

export class HeldKeys implements KeyWatch {
  readonly #paths: Paths;
  readonly #config: Config;
  readonly #log: DaemonLog;
  readonly #onRight: (ring: KeyRing) => void;
  #ring: KeyRing | null = null;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Told of once. */
  #missed: string | null = null;
  /** Called when another replica has put another key in force. */
  onReplaced = (): void => {};

  /** @param onRight called with the keys before anything is opened, when they are the ones that the database names */
  constructor(
    { paths, config, log }: { readonly paths: Paths; readonly config: Config; readonly log: DaemonLog },
    onRight: (ring: KeyRing) => void,
  ) {
    this.#paths = paths;
    this.#config = config;
    this.#log = log;
    this.#onRight = onRight;
  }

  /** @throws AlterError vault_unavailable */
  async load(recorded: RecordedKey | undefined): Promise<MasterKey> {
    const options = { ...masterKeyPlace(this.#paths, this.#config), recordedSource: recorded?.source, create: true };
    const ring = await loadKeyRing(options, recorded?.checkValue);
    this.#ring = ring;
    // SECURITY: what opens with the key meanwhile must not see one that the vault is about to refuse: the journal would seal its head
    // with it, and the right key would then find its chain damaged.
    if (recorded === undefined || recorded.checkValue === ring.inForce.checkValue) this.#onRight(ring);
    return ring.inForce;
  }

  get ring(): KeyRing {
    return this.#ring as KeyRing;
  }

  get place(): NextKeyPlace {
    return nextKeyPlace(this.ring.inForce.source, masterKeyPlace(this.#paths, this.#config));
  }

  async find(checkValue: string): Promise<MasterKey | undefined> {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_EVERY_MS) return undefined;
    this.#lookedAt = now;
    const { source } = this.ring.inForce;
    const options = { ...masterKeyPlace(this.#paths, this.#config), recordedSource: source, create: false };
    const found = await findMasterKey(options, checkValue);
    if (found !== undefined) this.#lookedAt = Number.NEGATIVE_INFINITY;
    else if (this.#missed !== checkValue) {
      this.#missed = checkValue;
      this.#log.error({ check: checkValue, hint: this.hint }, 'another replica has put a master key in force that is not here');
    }
    return found;
  }

  get hint(): string {
    return this.place.howToBring;
  }

  inForce(key: MasterKey, byOther: boolean): void {
    this.ring.use(key);
    if (byOther) this.onReplaced();
  }
}
