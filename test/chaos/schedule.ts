/** What is done to the fleet and when, from a seed alone: a run that failed can be repeated as far as its machine allows. Pure. */

import { Dice } from '../helpers/dice.ts';
import { FAULTS, type Fault } from '../helpers/fault-proxy.ts';

/** `hosts`: between a daemon and the vault · `database`: between a replica and PostgreSQL. */
export type Link = 'hosts' | 'database';

export type Deed =
  | { readonly do: 'kill'; readonly what: 'replica' | 'daemon'; readonly n: number; readonly forMs: number }
  | { readonly do: 'crash-database'; readonly forMs: number }
  | { readonly do: 'break'; readonly link: Link; readonly n: number; readonly fault: Fault; readonly forMs: number }
  /** Some of the connections that are there now, and only those. */
  | { readonly do: 'strike'; readonly link: Link; readonly n: number; readonly fault: 'reset' | 'half-open' }
  | { readonly do: 'end-grant'; readonly n: number };

export interface Planned {
  readonly atMs: number;
  readonly deed: Deed;
}

export interface Size {
  readonly replicas: number;
  readonly daemons: number;
  readonly agents: number;
  readonly stormMs: number;
  /** Between two deeds, on average. */
  readonly pauseMs: number;
}

const KINDS = ['kill', 'kill', 'crash', 'break', 'break', 'break', 'strike', 'strike', 'end', 'end', 'end'] as const;

export function planStorm(seed: number, size: Size): Planned[] {
  const dice = new Dice(seed);
  const plan: Planned[] = [];
  const longest = Math.max(600, Math.min(8_000, size.stormMs / 3));
  const span = (): number => dice.between(200, longest);
  const place = (): { link: Link; n: number } => {
    const link = dice.pick(['hosts', 'database'] as const);
    return { link, n: dice.between(0, link === 'hosts' ? size.daemons : size.replicas) };
  };
  for (let atMs = dice.between(0, size.pauseMs); atMs < size.stormMs; atMs += dice.between(size.pauseMs / 4, size.pauseMs * 2)) {
    const kind = dice.pick(KINDS);
    const deed: Deed =
      kind === 'kill'
        ? killing(dice, size, span())
        : kind === 'crash'
          ? { do: 'crash-database', forMs: span() }
          : kind === 'break'
            ? { do: 'break', ...place(), fault: dice.pick(FAULTS), forMs: span() }
            : kind === 'strike'
              ? { do: 'strike', ...place(), fault: dice.pick(['reset', 'half-open'] as const) }
              : { do: 'end-grant', n: dice.between(0, size.agents) };
    plan.push({ atMs, deed });
  }
  return plan;
}

function killing(dice: Dice, size: Size, forMs: number): Deed {
  const what = dice.pick(['replica', 'daemon'] as const);
  return { do: 'kill', what, n: dice.between(0, what === 'replica' ? size.replicas : size.daemons), forMs };
}

export function deedText(deed: Deed): string {
  switch (deed.do) {
    case 'kill':
      return `kill -9 ${deed.what} ${deed.n}, back in ${deed.forMs} ms`;
    case 'crash-database':
      return `crash PostgreSQL, back in ${deed.forMs} ms`;
    case 'break':
      return `${deed.link} ${deed.n}: ${deed.fault} for ${deed.forMs} ms`;
    case 'strike':
      return `${deed.link} ${deed.n}: ${deed.fault} of some connections`;
    case 'end-grant':
      return `end the grant of agent ${deed.n}`;
  }
}
