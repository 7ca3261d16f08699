/** What a new key is bound to, as the API takes it. */
import * as z from 'zod';
import type { KeyBinding } from '../domain/agent.ts';

export const boundTo = {
  bound_uid: z.number().int().min(0).max(4_294_967_294).nullish(),
  bound_unit: z.string().max(255).nullish(),
  bound_executable: z.string().max(4_096).nullish(),
  bound_cidr: z.string().max(64).nullish(),
};

interface Given {
  readonly bound_unit?: string | null | undefined;
  readonly bound_executable?: string | null | undefined;
  readonly bound_cidr?: string | null | undefined;
}

export const bindingOf = (body: Given): KeyBinding => ({
  unit: body.bound_unit ?? null,
  executable: body.bound_executable ?? null,
  cidr: body.bound_cidr ?? null,
});
