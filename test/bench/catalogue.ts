/** All targets, in the order of their names. */
import { TARGET_NAMES } from './names.ts';
import { alterd, alterdLease, alterdNoScrub, alterdOAuth, alterdSigV4 } from './targets/alterd.ts';
import { mitmproxy, nginx, squid } from './targets/native-targets.ts';
import { blindNode, direct, httpMitmProxy, httpProxy, mockttp } from './targets/node-targets.ts';
import type { Target } from './targets/target.ts';

export const TARGETS: Readonly<Record<(typeof TARGET_NAMES)[number], Target>> = {
  direct,
  alterd,
  'alterd-no-scrub': alterdNoScrub,
  'alterd-oauth': alterdOAuth,
  'alterd-sigv4': alterdSigV4,
  'alterd-lease': alterdLease,
  'blind-node': blindNode,
  'http-proxy': httpProxy,
  nginx,
  squid,
  mitmproxy,
  'http-mitm-proxy': httpMitmProxy,
  mockttp,
};

/** Those that can be measured here, and a line for each that can't. */
export function presentTargets(names: readonly string[]): { present: Target[]; absent: string[] } {
  const present: Target[] = [];
  const absent: string[] = [];
  for (const name of TARGET_NAMES) {
    if (!names.includes(name)) continue;
    const why = TARGETS[name].absent();
    if (why === null) present.push(TARGETS[name]);
    else absent.push(`${name}: ${why}`);
  }
  return { present, absent };
}
