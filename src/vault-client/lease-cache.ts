/**
 * What a host keeps on disk of what it borrowed, so that it can serve while the vault is away: its view and the material in use, sealed
 * by a key that is made of the host's own. A file that was copied from another host, or that is older than the last one this host wrote,
 * does not open: a counter in it has to be the one that stands under a MAC beside it. Nothing that may not be kept ever comes here.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ensurePrivateDirectory, isMissing, syncDirectory } from '../crypto/private-file.ts';
import { openBytes, sealBytes } from '../crypto/seal.ts';
import type { RateLimitRow } from '../store/rows.ts';
import { type LeaseEntry, LeaseFile } from '../store/sqlite/lease-file.ts';

const HEAD = 'head';
const LIMITS = 'limits';
const TABLE = 'leases';
const MATERIAL = 'material:';

/** The host's view and until when it may be used; free of what may not be kept. */
export type KeptHead = Readonly<Record<string, unknown>>;

export interface LeaseCacheOptions {
  /** Directory of the host's state. */
  readonly dir: string;
  /** Made of the host's own keys. */
  readonly key: KeyObject;
}

export interface KeptLeases {
  readonly head: KeptHead;
  /** By grant. */
  readonly materials: ReadonlyMap<string, KeptHead>;
}

export class LeaseCache {
  readonly #file: LeaseFile;
  readonly #key: KeyObject;
  readonly #markFile: string;
  #counter: number;
  /** What the file had when it was opened, and that it did not open, and why. */
  readonly found: KeptLeases | null;
  readonly problem: string | null;

  private constructor(file: LeaseFile, { dir, key }: LeaseCacheOptions) {
    this.#file = file;
    this.#key = key;
    this.#markFile = join(dir, 'leases.mark');
    const mark = this.#readMark();
    const opened = this.#open(mark);
    this.found = typeof opened === 'string' ? null : opened;
    this.problem = typeof opened === 'string' && opened !== '' ? opened : null;
    this.#counter = Math.max(mark ?? 0, typeof opened === 'string' ? 0 : Number(opened?.head.counter ?? 0));
    if (this.problem !== null) this.#file.clear();
  }

  /** A file that is damaged or does not open is put away: what was in it is borrowed anew. @throws AlterError vault_unavailable */
  static open(options: LeaseCacheOptions): LeaseCache {
    const path = join(ensurePrivateDirectory(options.dir), 'leases.db');
    try {
      return new LeaseCache(new LeaseFile(path), options);
    } catch (thrown) {
      // SECURITY: one that another daemon has open is not damaged, and two must not write it.
      if (((thrown as Error).cause as { code?: string } | undefined)?.code?.startsWith('SQLITE_BUSY')) throw thrown;
      for (const end of ['', '-wal', '-shm', '-journal']) rmSync(path + end, { force: true });
      return new LeaseCache(new LeaseFile(path), options);
    }
  }

  /** Keeps a view, and lets go of these grants' material. @throws AlterError vault_unavailable */
  writeHead(head: KeptHead, without: readonly string[]): void {
    const counter = this.#counter + 1;
    this.#file.write([
      { name: HEAD, sealed: this.#seal(HEAD, { ...head, counter }) },
      ...without.map((grantId): LeaseEntry => ({ name: MATERIAL + grantId, sealed: null })),
    ]);
    // In this order: a crash in between leaves a file that is one ahead of its mark, which is known to be no older one.
    this.#writeMark(counter);
    this.#counter = counter;
  }

  /** @throws AlterError vault_unavailable */
  writeMaterials(materials: ReadonlyMap<string, KeptHead>): void {
    this.#file.write([...materials].map(([id, each]) => ({ name: MATERIAL + id, sealed: this.#seal(MATERIAL + id, each) })));
  }

  /** Counters of rate limits: they outlast what was borrowed. */
  loadLimits(): readonly RateLimitRow[] {
    const sealed = this.#file.readAll().get(LIMITS);
    if (sealed === undefined) return [];
    try {
      return this.#unseal(LIMITS, sealed).rows as readonly RateLimitRow[];
    } catch {
      return [];
    }
  }

  /** @throws AlterError vault_unavailable */
  saveLimits(rows: readonly RateLimitRow[]): void {
    this.#file.write([{ name: LIMITS, sealed: this.#seal(LIMITS, { rows }) }]);
  }

  /** Leaves nothing behind that could be opened. */
  clear(): void {
    const limits = this.loadLimits();
    this.#file.clear();
    if (limits.length > 0) this.saveLimits(limits);
    this.#writeMark(++this.#counter);
  }

  close(): void {
    this.#file.close();
  }

  /** What is there; '' when there is nothing, else why it does not open. */
  #open(mark: number | null): KeptLeases | string {
    const sealed = this.#file.readAll();
    const head = sealed.get(HEAD);
    if (head === undefined) return '';
    try {
      const opened = this.#unseal(HEAD, head);
      // SECURITY: an older file would bring back what was revoked since.
      if (mark === null || (opened.counter !== mark && opened.counter !== mark + 1))
        return 'it is older than the last one that this host wrote, or its mark is gone';
      const materials = new Map<string, KeptHead>();
      for (const [name, bytes] of sealed)
        if (name.startsWith(MATERIAL)) materials.set(name.slice(MATERIAL.length), this.#unseal(name, bytes));
      return { head: opened, materials };
    } catch {
      return 'it was sealed by another host, or was changed';
    }
  }

  #seal(name: string, value: KeptHead): Buffer {
    const plaintext = Buffer.from(JSON.stringify(value), 'utf8');
    try {
      return sealBytes(this.#key, plaintext, { table: TABLE, rowId: name, version: 1 });
    } finally {
      plaintext.fill(0);
    }
  }

  #unseal(name: string, sealed: Uint8Array): KeptHead {
    const plaintext = openBytes(this.#key, sealed, { table: TABLE, rowId: name, version: 1 });
    try {
      return JSON.parse(plaintext.toString('utf8')) as KeptHead;
    } finally {
      plaintext.fill(0);
    }
  }

  #macOf(counter: number): Buffer {
    return createHmac('sha256', this.#key).update(`alterd lease mark 1 ${counter}`).digest();
  }

  /** null: there is none, or it is not of this host. */
  #readMark(): number | null {
    try {
      const [counter = '', mac = ''] = readFileSync(this.#markFile, 'utf8').trim().split(' ');
      const [written, expected] = [Buffer.from(mac, 'base64url'), this.#macOf(Number(counter))];
      return written.length === expected.length && timingSafeEqual(written, expected) ? Number(counter) : null;
    } catch (cause) {
      if (isMissing(cause)) return null;
      throw cause;
    }
  }

  #writeMark(counter: number): void {
    const draft = `${this.#markFile}.new`;
    rmSync(draft, { force: true });
    const descriptor = openSync(draft, 'wx', 0o600);
    try {
      writeSync(descriptor, `${counter} ${this.#macOf(counter).toString('base64url')}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, this.#markFile);
    syncDirectory(dirname(this.#markFile));
  }
}
