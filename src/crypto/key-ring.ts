/**
 * The master keys on hand: the one in force and, while a rotation is under way, the other one too. It seals by the key in force alone and
 * opens by either, so that whatever is not moved yet still opens. It must never hold a key for longer than a rotation needs it.
 */
import type { MasterKey } from './master-key.ts';
import type { SealContext } from './seal.ts';

export class KeyRing {
  #inForce: MasterKey;
  #others: readonly MasterKey[];

  constructor(inForce: MasterKey, others: readonly MasterKey[] = []) {
    this.#inForce = inForce;
    this.#others = others.filter((key) => key.checkValue !== inForce.checkValue);
  }

  get inForce(): MasterKey {
    return this.#inForce;
  }

  /** The ones that something may still be sealed by. */
  get others(): readonly MasterKey[] {
    return this.#others;
  }

  /** This key is in force from now on; the one of before stays on hand until `forgetOthers`. */
  use(key: MasterKey): void {
    if (key.checkValue === this.#inForce.checkValue) return;
    this.#others = [this.#inForce, ...this.#others.filter((other) => other.checkValue !== key.checkValue)];
    this.#inForce = key;
  }

  /** Once everything opens with the key in force. */
  forgetOthers(): void {
    this.#others = [];
  }

  seal(plaintext: Uint8Array, context: SealContext): Buffer {
    return this.#inForce.seal(plaintext, context);
  }

  /** @throws AlterError vault_unavailable */
  open(sealed: Uint8Array, context: SealContext): Buffer {
    const opener = [this.#inForce, ...this.#others].find((key) => isOpenedBy(key, sealed, context));
    return (opener ?? this.#inForce).open(sealed, context);
  }

  /** The same bytes, sealed by the key in force; null when they are so already. @throws AlterError vault_unavailable */
  reseal(sealed: Uint8Array, context: SealContext): Buffer | null {
    if (isOpenedBy(this.#inForce, sealed, context)) return null;
    const plain = this.open(sealed, context);
    try {
      return this.seal(plain, context);
    } finally {
      plain.fill(0);
    }
  }
}

function isOpenedBy(key: MasterKey, sealed: Uint8Array, context: SealContext): boolean {
  try {
    key.open(sealed, context).fill(0);
    return true;
  } catch {
    return false;
  }
}
