import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashKeyText, inspectKeyText, mintKeyText, randomBase62, shownPrefix } from '../../../src/vault/key-text.ts';

describe('the text of a key', () => {
  it.each([
    ['', 'malformed'],
    ['sk-live-abc', 'malformed'],
    ['ALTER_KEY_AGENT_abc', 'malformed'],
    ['alter_key_agent_', 'typo'],
    ['alter_key_app_00000000000000000000000000000000000000', 'typo'],
    ['alter_key_agent_0000000000000000000000000000000000000é', 'typo'],
  ])('%j is %s', (text, expected) => {
    expect(inspectKeyText(text)).toBe(expected);
  });

  it('any changed, missing, doubled or exchanged character is a typo', () => {
    const text = mintKeyText('agent').reveal();
    const alphabet = 'ABCabc019xyzXYZ';
    fc.assert(
      fc.property(fc.integer({ min: 16, max: text.length - 2 }), fc.constantFrom(...alphabet), (at, other) => {
        const before = text.slice(0, at);
        const char = text[at]!;
        const after = text.slice(at + 1);
        const next = text[at + 1]!;
        if (other !== char) expect(inspectKeyText(before + other + after)).toBe('typo');
        expect(inspectKeyText(before + after)).toBe('typo');
        expect(inspectKeyText(before + char + char + after)).toBe('typo');
        if (char !== next) expect(inspectKeyText(before + next + char + after.slice(1))).toBe('typo');
      }),
    );
  });

  it.each(['agent', 'session'] as const)('a new %s key is good, URL-safe and never the same', (kind) => {
    const keys = Array.from({ length: 200 }, () => mintKeyText(kind));
    for (const key of keys) {
      expect(inspectKeyText(key.reveal())).toBe(kind);
      expect(key.reveal()).toMatch(new RegExp(`^alter_key_${kind}_[0-9A-Za-z]{38}$`));
      expect(encodeURIComponent(key.reveal())).toBe(key.reveal());
    }
    expect(new Set(keys.map((key) => hashKeyText(key.reveal()))).size).toBe(200);
    expect(`${keys[0]}`).toBe('[secret]');
  });

  it('a key of one kind is not one of the other', () => {
    expect(inspectKeyText(mintKeyText('agent').reveal().replace('agent', 'session'))).toBe('typo');
  });

  it('the part that is shown leaves 26 random characters secret', () => {
    const key = mintKeyText('agent');
    expect(key.reveal().startsWith(shownPrefix(key, 'agent'))).toBe(true);
    expect(shownPrefix(key, 'agent')).toHaveLength(22);
  });

  it('the checksum is CRC-32', () => {
    expect(inspectKeyText(`alter_key_agent_00000000000000000000000000000000${knownChecksum()}`)).toBe('agent');
  });

  it('random characters are even', () => {
    const counts = new Map<string, number>();
    for (const char of randomBase62(62_000)) counts.set(char, (counts.get(char) ?? 0) + 1);
    expect(counts.size).toBe(62);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(250);
  });
});

/** Bit by bit, to disagree with a wrong table. */
function knownChecksum(): string {
  let crc = 0xffffffff;
  for (const char of 'alter_key_agent_00000000000000000000000000000000') {
    crc ^= char.charCodeAt(0);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  let rest = BigInt((crc ^ 0xffffffff) >>> 0);
  let digits = '';
  for (let i = 0; i < 6; i++) {
    digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'[Number(rest % 62n)]! + digits;
    rest /= 62n;
  }
  return digits;
}
