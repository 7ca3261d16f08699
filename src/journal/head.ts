/**
 * The head record: how far the chain goes, in a small file of its own, sealed with a key that whoever may edit the
 * database doesn't have. It shows a cut tail and a prefix removed by anyone but retention, which a chain alone can't.
 * It is written after each commit, so the database may be ahead of it (a crash in between) but never behind.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { closeSync, constants, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';

/** Damage, and the first place of the chain that it concerns. */
export interface ChainFault {
  readonly n: number;
  readonly reason: string;
}

/** Hashes are hex. */
export interface HeadRecord {
  readonly n: number;
  readonly hash: string;
  /** Rows up to here may be missing: retention removed them. */
  readonly anchorN: number;
  readonly anchorHash: string;
  /** Set when the journal was closed in order: then the database must end exactly here. */
  readonly clean: boolean;
  /** Damage that was found at a start. It stays: going on must not cover it up. */
  readonly fault: ChainFault | null;
  /** The vault's epoch when it was changed last; null in a head of before it was noted. */
  readonly epoch: number | null;
}

/** Two slots, written in turn: a torn write leaves the other one. */
const SLOT_BYTES = 1024;

export class HeadFile {
  readonly #fd: number;
  /** The one that the newest record is sealed by. */
  #key: KeyObject;
  /** Bound into the seal: a head of another installation doesn't fit. */
  readonly #installation: string;
  #turn = 0;
  readonly #slot = Buffer.alloc(SLOT_BYTES, 0x20);
  record: HeadRecord | undefined;

  /** @param keys one of them seals it; the first one where there is no record yet */
  constructor(path: string, keys: readonly [KeyObject, ...KeyObject[]], installation: string) {
    this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#key = keys[0];
    this.#installation = installation;
    this.record = this.#read(keys);
  }

  isSealedBy(key: KeyObject): boolean {
    return this.#key.equals(key);
  }

  /** Seals it by another key, on disk. Both slots, one after the other: a crash in between leaves one that the one or the other key opens. */
  rekey(key: KeyObject): void {
    this.#key = key;
    const { record } = this;
    if (record === undefined) return;
    this.write(record, true);
    // SECURITY: an older record that the old key opens must not come to the fore by damage to the newer one.
    this.write(record, true);
  }

  write(record: HeadRecord, toDisk = false): void {
    this.#turn += 1;
    const text = JSON.stringify({ turn: this.#turn, ...record });
    this.#slot.fill(0x20);
    this.#slot.write(`${this.#seal(text)} ${text}\n`, 0, 'latin1');
    writeSync(this.#fd, this.#slot, 0, SLOT_BYTES, (this.#turn % 2) * SLOT_BYTES);
    if (toDisk) fdatasyncSync(this.#fd);
    this.record = record;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #seal(text: string, key = this.#key): string {
    return createHmac('sha256', key).update(`alterd-audit-head\n${this.#installation}\n${text}`).digest('hex');
  }

  #read(keys: readonly KeyObject[]): HeadRecord | undefined {
    let newest: HeadRecord | undefined;
    for (const index of [0, 1]) {
      const bytes = Buffer.alloc(SLOT_BYTES);
      const length = readSync(this.#fd, bytes, 0, SLOT_BYTES, index * SLOT_BYTES);
      const line = bytes.subarray(0, length).toString('latin1').split('\n')[0] ?? '';
      const space = line.indexOf(' ');
      const text = line.slice(space + 1);
      // SECURITY: an unsealed record is no record; taking it would let whoever cut the table also move its end.
      const key = space === 64 ? keys.find((each) => isSame(line.slice(0, 64), this.#seal(text, each))) : undefined;
      if (key === undefined) continue;
      const { turn, ...record } = JSON.parse(text) as HeadRecord & { turn: number };
      if (turn <= this.#turn) continue;
      this.#turn = turn;
      this.#key = key;
      newest = { ...record, epoch: record.epoch ?? null };
    }
    return newest;
  }
}

const isSame = (a: string, b: string): boolean => timingSafeEqual(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'));
