/**
 * Which network an address belongs to, decided on the address that would be dialled, never on the name.
 * IPv6 forms that carry an IPv4 address are judged by what they carry (S-22).
 */
import { BlockList, isIP } from 'node:net';

/**
 * `public` may be dialled · `private` needs an explicit permission · `forbidden` is never dialled: cloud metadata,
 * unspecified, multicast and reserved ranges, where no provider lives.
 */
export type AddressClass = 'public' | 'private' | 'forbidden';

const forbidden = new BlockList();
const privateNet = new BlockList();

// Metadata services of the large clouds (S-21): AWS/Azure/GCP, ECS tasks, Alibaba, Oracle, AWS over IPv6.
for (const ip of ['169.254.169.254', '169.254.170.2', '169.254.170.23', '100.100.100.200', '192.0.0.192', '168.63.129.16'])
  forbidden.addAddress(ip);
forbidden.addAddress('fd00:ec2::254', 'ipv6');
forbidden.addAddress('fd00:ec2::23', 'ipv6');
forbidden.addAddress('fd20:ce::254', 'ipv6');
forbidden.addSubnet('0.0.0.0', 8);
forbidden.addSubnet('224.0.0.0', 4);
forbidden.addSubnet('240.0.0.0', 4);
forbidden.addAddress('::', 'ipv6');
forbidden.addSubnet('ff00::', 8, 'ipv6');
// Discard-only, documentation, ORCHID and Teredo: nothing routable that a provider would use.
forbidden.addSubnet('100::', 64, 'ipv6');
forbidden.addSubnet('2001::', 23, 'ipv6');
forbidden.addSubnet('2001:db8::', 32, 'ipv6');
// NAT64 for local use (RFC 8215): where the IPv4 address stands in it is each network's own choice.
forbidden.addSubnet('64:ff9b:1::', 48, 'ipv6');

for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
] as const)
  privateNet.addSubnet(net, bits);
privateNet.addAddress('::1', 'ipv6');
privateNet.addSubnet('fe80::', 10, 'ipv6');
privateNet.addSubnet('fec0::', 10, 'ipv6');
privateNet.addSubnet('fc00::', 7, 'ipv6');

/** The eight 16-bit groups of a valid IPv6 text. */
function groupsOf(ip: string): number[] {
  let text = ip;
  const dot = text.lastIndexOf('.');
  if (dot !== -1) {
    const at = text.lastIndexOf(':') + 1;
    const [a = 0, b = 0, c = 0, d = 0] = text.slice(at).split('.').map(Number);
    text = `${text.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = text.split('::');
  const parse = (s: string): number[] => (s === '' ? [] : s.split(':').map((g) => Number.parseInt(g, 16)));
  const left = parse(head);
  if (tail === undefined) return left;
  const right = parse(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

const dotted = (hi: number, lo: number): string => `${hi >> 8}.${hi & 255}.${lo >> 8}.${lo & 255}`;

/** The IPv4 address inside an IPv6 one: mapped, compatible, NAT64, 6to4; null when there is none. */
function embeddedIPv4(ip: string): string | null {
  const g = groupsOf(ip);
  const zeros = (n: number): boolean => g.slice(0, n).every((x) => x === 0);
  const last = dotted(g[6] as number, g[7] as number);
  if (zeros(5) && g[5] === 0xffff) return last; // ::ffff:0:0/96
  if (zeros(6) && (g[6] !== 0 || (g[7] as number) > 1)) return last; // ::/96, deprecated
  if (zeros(4) && g[4] === 0xffff && g[5] === 0) return last; // ::ffff:0:0:0/96, SIIT
  if (g[0] === 0x64 && g[1] === 0xff9b && g[2] === 0) return last; // NAT64, 64:ff9b::/96
  if (g[0] === 0x2002) return dotted(g[1] as number, g[2] as number); // 6to4
  return null;
}

/** Class of an IP address text; anything that is no address is forbidden. */
export function classifyAddress(ip: string): AddressClass {
  const family = isIP(ip);
  if (family === 0) return 'forbidden';
  if (family === 6) {
    if (ip.includes('%')) return 'forbidden';
    const inner = embeddedIPv4(ip);
    if (inner !== null) return classifyAddress(inner);
    if (forbidden.check(ip, 'ipv6')) return 'forbidden';
    return privateNet.check(ip, 'ipv6') ? 'private' : 'public';
  }
  if (forbidden.check(ip)) return 'forbidden';
  return privateNet.check(ip) ? 'private' : 'public';
}
