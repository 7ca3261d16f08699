/**
 * Where a request comes from: address of the peer, user, systemd unit, program. The kernel does not always say; what it does
 * not say is unknown, never a "no".
 */
import { BlockList, isIP } from 'node:net';
import type { SourceTest } from '../domain/policy.ts';
import type { SourceFacts } from './policy-facts.ts';
import { NO, type Truth, truthOf, UNKNOWN, YES } from './truth.ts';
import { matchesText } from './value-test.ts';

/** What is wrong with a CIDR, for people; null when nothing is. */
export function cidrProblem(text: string): string | null {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return 'must be an address or a network such as 10.0.0.0/8';
  if (bits === undefined) return null;
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
    ? null
    : `must have at most ${family === 4 ? 32 : 128} bits`;
}

function networksOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
  }
  return list;
}

/** The address of `IP:PORT`; null for a Unix socket, which has none. */
function addressOf(peer: string): string | null {
  if (peer === 'unix') return null;
  const ip = peer.slice(0, peer.lastIndexOf(':'));
  return ip.startsWith('::ffff:') ? ip.slice(7) : ip;
}

export function compileSource(test: SourceTest): (source: SourceFacts) => Truth {
  const parts: ((source: SourceFacts) => Truth)[] = [];
  if (test.cidrs !== null) {
    const networks = networksOf(test.cidrs);
    parts.push(({ address }) => {
      const ip = addressOf(address);
      if (ip === null) return NO;
      const family = isIP(ip);
      return family === 0 ? UNKNOWN : truthOf(networks.check(ip, family === 6 ? 'ipv6' : 'ipv4'));
    });
  }
  if (test.uids !== null) {
    const uids = new Set(test.uids);
    parts.push(({ uid }) => (uid === null ? UNKNOWN : truthOf(uids.has(uid))));
  }
  if (test.units !== null) {
    const globs = test.units;
    parts.push(({ unit }) => (unit === null || unit === undefined ? UNKNOWN : truthOf(globs.some((g) => matchesText(g, unit)))));
  }
  if (test.executables !== null) {
    const globs = test.executables;
    parts.push(({ executable }) =>
      executable === null ? UNKNOWN : truthOf(globs.some((glob) => matchesText(glob, executable))),
    );
  }
  return (source) => {
    let result: Truth = YES;
    for (const part of parts) {
      const truth = part(source);
      if (truth === NO) return NO;
      if (truth === UNKNOWN) result = UNKNOWN;
    }
    return result;
  };
}
