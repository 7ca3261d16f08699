/** Where a key may be presented from: checked when it is made, and never wider in a derived key than in its parent. */
import { isAbsolute } from 'node:path';
import { type KeyBinding, NO_BINDING } from '../domain/agent.ts';
import { isBlockWithin, parseBlock } from '../domain/ip-block.ts';

const UNIT = /^[A-Za-z0-9:_.\\@-]{1,255}\.(service|scope|slice)$/;

export function bindingProblems(binding: Partial<KeyBinding> = {}): (string | undefined)[] {
  const { unit, executable, cidr } = { ...NO_BINDING, ...binding };
  return [
    unit === null || UNIT.test(unit) ? undefined : 'bound_unit: must be a systemd unit such as research.service',
    executable === null || isAbsolute(executable) ? undefined : 'bound_executable: must be an absolute path',
    cidr === null || parseBlock(cidr) !== null ? undefined : 'bound_cidr: must be a block such as 10.1.0.0/16',
  ];
}

interface Bound {
  readonly boundUid: number | null;
  readonly binding: KeyBinding;
}

/** What a derived key asks for beyond its parent. */
export function widerProblems(
  parent: Bound,
  asked: { readonly boundUid?: number | null | undefined; readonly binding?: Partial<KeyBinding> | undefined },
): (string | undefined)[] {
  const { unit, executable, cidr } = { ...NO_BINDING, ...asked.binding };
  const differs = <T>(mine: T | null, theirs: T | null): boolean => theirs !== null && mine !== null && mine !== theirs;
  const block = parent.binding.cidr;
  return [
    differs(asked.boundUid ?? null, parent.boundUid) ? `bound_uid: the key itself is bound to uid ${parent.boundUid}` : undefined,
    differs(unit, parent.binding.unit) ? `bound_unit: the key itself is bound to ${parent.binding.unit}` : undefined,
    differs(executable, parent.binding.executable)
      ? `bound_executable: the key itself is bound to ${parent.binding.executable}`
      : undefined,
    block === null || cidr === null || isBlockWithin(cidr, block)
      ? undefined
      : `bound_cidr: ${cidr} is not within ${block}, to which the key itself is bound`,
  ];
}

/** The narrower of the two; call it when widerProblems() finds nothing. */
export function bindingWithin(parent: KeyBinding, asked: Partial<KeyBinding> = {}): KeyBinding {
  return {
    unit: asked.unit ?? parent.unit,
    executable: asked.executable ?? parent.executable,
    cidr: asked.cidr ?? parent.cidr,
  };
}
