/**
 * The segment files on disk: names, making them, using them again, listing them, removing them. A segment is made in full,
 * as zeros, before anyone writes to it, so that a full disk shows while segments are made and not while a request waits.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, readdirSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { newSegmentHeader } from './frame.ts';

const NAME = /^wal-(\d{16})\.seg$/;
const ZEROS = Buffer.alloc(256 * 1024);

export function segmentPath(dir: string, segment: number): string {
  return join(dir, `wal-${String(segment).padStart(16, '0')}.seg`);
}

/** Numbers of the segments that exist, ascending. */
export function listSegments(dir: string): number[] {
  return readdirSync(dir)
    .flatMap((name) => {
      const match = NAME.exec(name);
      return match === null ? [] : [Number(match[1])];
    })
    .sort((a, b) => a - b);
}

/** Makes a segment of zeros, on disk in full; leaves nothing behind when that fails. @throws the error of the file system */
export function makeSegment(dir: string, segment: number, bytes: number): void {
  const path = segmentPath(dir, segment);
  const fd = openSync(path, 'w', 0o600);
  try {
    for (let done = 0; done < bytes; ) done += writeSync(fd, ZEROS, 0, Math.min(ZEROS.length, bytes - done), done);
    writeSync(fd, newSegmentHeader(segment), 0, 'latin1');
    fdatasyncSync(fd);
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw error;
  }
  closeSync(fd);
  syncDirectory(dir);
}

/**
 * Gives the file of a segment that nobody needs any more to a new one. What it held stays there as bytes, but without this
 * life's tag (frame.ts): emptying it would cost as much as writing it.
 * @throws the error of the file system
 */
export function reuseSegment(dir: string, retired: number, segment: number): void {
  const fd = openSync(segmentPath(dir, retired), 'r+');
  try {
    writeSync(fd, newSegmentHeader(segment), 0, 'latin1');
  } finally {
    closeSync(fd);
  }
  // The header needs no sync of its own: it goes to disk with the first rows that are synced, and without rows it isn't missed.
  renameSync(segmentPath(dir, retired), segmentPath(dir, segment));
  syncDirectory(dir);
}

/** Removes a segment; one that is gone already is fine. */
export function removeSegment(dir: string, segment: number): void {
  try {
    unlinkSync(segmentPath(dir, segment));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Waits until what was written to a segment is on disk. */
export function syncSegment(dir: string, segment: number): void {
  const fd = openSync(segmentPath(dir, segment), 'r+');
  try {
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
