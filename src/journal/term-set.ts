/**
 * The terms of a block as a Bloom filter: a kilobyte that says "certainly not here" for most of what is asked for, so that a
 * search reads few blocks. It may say "perhaps" wrongly (about 1 in 100), never "no". Pure.
 */
const HASHES = 7;
const BITS_EACH = 10;
const MIN_BITS = 512;
const MAX_BITS = 1 << 20;

/** FNV-1a, from two starts; the other hashes are sums of the two. */
function hashesOf(term: string): [number, number] {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (let i = 0; i < term.length; i += 1) {
    const unit = term.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x5bd1e995);
    b ^= b >>> 15;
  }
  return [a >>> 0, (b | 1) >>> 0];
}

function* placesOf(term: string, bits: number): Generator<number> {
  const [a, b] = hashesOf(term);
  for (let i = 0; i < HASHES; i += 1) yield ((a + Math.imul(i, b)) >>> 0) & (bits - 1);
}

export function termSetOf(terms: ReadonlySet<string>): Buffer {
  let bits = MIN_BITS;
  while (bits < terms.size * BITS_EACH && bits < MAX_BITS) bits *= 2;
  const set = Buffer.alloc(bits / 8);
  for (const term of terms)
    for (const place of placesOf(term, bits)) set[place >> 3] = (set[place >> 3] as number) | (1 << (place & 7));
  return set;
}

/** False only when the term is certainly not among them. */
export function mayHold(set: Buffer, term: string): boolean {
  for (const place of placesOf(term, set.length * 8)) if (((set[place >> 3] as number) & (1 << (place & 7))) === 0) return false;
  return true;
}
