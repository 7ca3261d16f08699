/**
 * From a destination to the addresses that may be dialled. Called only after the verdict: no name is looked up for a
 * refused request (S-29). The name is resolved once and the vetted addresses are what is dialled (S-24); one forbidden
 * address among them refuses the name (S-23).
 */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Destination } from '../../domain/destination.ts';
import { AlterError } from '../../domain/errors.ts';
import { classifyAddress } from './address.ts';

export interface VettedAddress {
  readonly ip: string;
  readonly family: 4 | 6;
  readonly port: number;
}

/** A private address that hosts without a grant may reach. */
export type PrivateException =
  | { readonly kind: 'host'; readonly host: string; readonly port: number }
  | { readonly kind: 'cidr'; readonly address: string; readonly prefix: number; readonly family: 4 | 6 };

export interface ResolverOptions {
  /** `host:port` as in Destination.origin → the address dialled in its place. It is vetted like any other. */
  readonly overrides: ReadonlyMap<string, { readonly host: string; readonly port: number }>;
  readonly allowPrivate: readonly PrivateException[];
  /** TCP ports that alterd itself listens on. */
  readonly ownPorts: () => readonly number[];
  /** The system's resolver unless said otherwise. Asked once for each dial of a name, never before the verdict. */
  readonly lookup?: LookUp;
}

/** All addresses of a name, in the order in which they should be tried. */
export type LookUp = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

const systemLookUp: LookUp = (host) => lookup(host, { all: true, verbatim: true });

export class Resolver {
  readonly #options: ResolverOptions;
  readonly #allowedNets = new BlockList();
  readonly #allowedHosts = new Set<string>();

  constructor(options: ResolverOptions) {
    this.#options = options;
    for (const entry of options.allowPrivate) {
      if (entry.kind === 'host') this.#allowedHosts.add(`${entry.host}:${entry.port}`);
      else this.#allowedNets.addSubnet(entry.address, entry.prefix, entry.family === 6 ? 'ipv6' : 'ipv4');
    }
  }

  /**
   * Addresses to dial, in order.
   * @param grantAllowsPrivate the grant's explicit setting; null when there is no grant
   * @throws AlterError destination_refused, upstream_unreachable
   */
  async resolve(destination: Destination, grantAllowsPrivate: boolean | null): Promise<VettedAddress[]> {
    const found = await this.#lookUp(destination);
    for (const address of found) this.#vet(destination, address, grantAllowsPrivate);
    return found;
  }

  async #lookUp(destination: Destination): Promise<VettedAddress[]> {
    const override = this.#options.overrides.get(destination.origin.slice(destination.scheme.length + 3));
    if (override !== undefined) return [{ ip: override.host, family: isIP(override.host) as 4 | 6, port: override.port }];
    if (destination.family !== 0) return [{ ip: destination.host, family: destination.family, port: destination.port }];
    try {
      const answers = await (this.#options.lookup ?? systemLookUp)(destination.host);
      return answers.map((a) => ({ ip: a.address, family: a.family as 4 | 6, port: destination.port }));
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
      throw new AlterError(
        'upstream_unreachable',
        { host: destination.host, reason: `the name can't be resolved (${code})` },
        { cause },
      );
    }
  }

  /** SECURITY: the one gate between a verdict and a dial; without it an agent reaches metadata services and local ports (S-21). */
  #vet(destination: Destination, address: VettedAddress, grantAllowsPrivate: boolean | null): void {
    const refuse = (policyError: string): never => {
      throw new AlterError('destination_refused', { host: destination.authority, policy_error: policyError });
    };
    const cls = classifyAddress(address.ip);
    if (cls === 'forbidden') refuse('address_not_allowed');
    // SECURITY: a proxy that dials itself loops, and lets agents speak to listeners that trust loopback (S-26).
    if (this.#options.ownPorts().includes(address.port) && this.#isLocal(address.ip)) refuse('own_listener');
    if (cls !== 'private') return;
    if (grantAllowsPrivate === true) return;
    if (grantAllowsPrivate === null && this.#isAllowed(destination, address)) return;
    refuse('address_not_allowed');
  }

  #isAllowed(destination: Destination, address: VettedAddress): boolean {
    return (
      this.#allowedHosts.has(`${destination.host}:${destination.port}`) ||
      this.#allowedNets.check(address.ip, address.family === 6 ? 'ipv6' : 'ipv4')
    );
  }

  #isLocal(ip: string): boolean {
    if (ip.startsWith('127.') || ip === '::1') return true;
    const plain = ip.toLowerCase().startsWith('::ffff:') ? ip.slice(7) : ip;
    if (plain.startsWith('127.')) return true;
    return Object.values(networkInterfaces()).some((list) => list?.some((i) => i.address === plain || i.address === ip));
  }
}
