/** Blocks of addresses in CIDR notation: whether an address, or another block, lies within one. Pure; resolves nothing. */
import { BlockList, isIP } from 'node:net';

export interface IpBlock {
  readonly address: string;
  readonly prefix: number;
  readonly family: 4 | 6;
}

/** `10.1.0.0/16`, or one address; null when it is neither. */
export function parseBlock(text: string): IpBlock | null {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if ((family !== 4 && family !== 6) || more.length > 0 || address.includes('%')) return null;
  const max = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? max : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  return prefix < 0 || prefix > max ? null : { address, prefix, family };
}

const lists = new Map<string, BlockList>();

/** False for what is no block or no address. An IPv4 address that came in IPv6 clothes is read as what it is. */
export function isInBlock(address: string, block: string): boolean {
  const parsed = parseBlock(block);
  if (parsed === null) return false;
  const plain = address.toLowerCase().startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  const family = isIP(plain);
  if (family !== parsed.family) return false;
  let list = lists.get(block);
  if (list === undefined) {
    list = new BlockList();
    list.addSubnet(parsed.address, parsed.prefix, family === 6 ? 'ipv6' : 'ipv4');
    // Blocks are written by operators and few; this only bounds what a mistake could cost.
    if (lists.size >= 1024) lists.clear();
    lists.set(block, list);
  }
  return list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
}

export function isBlockWithin(inner: string, outer: string): boolean {
  const [a, b] = [parseBlock(inner), parseBlock(outer)];
  return a !== null && b !== null && a.family === b.family && a.prefix >= b.prefix && isInBlock(a.address, outer);
}
