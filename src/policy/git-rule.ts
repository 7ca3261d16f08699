/**
 * Grants for git alone: which requests of git's smart HTTP protocol there are, and which of them read or write. What is not
 * recognised byte for byte is no git request, so a grant for git never becomes a grant for the pages or the API of its host.
 */
import type { GitAccess } from '../domain/grant.ts';
import { gitPushPath, overrideMethods } from './effective-requests.ts';
import type { RequestTarget } from './path.ts';

const SERVICES: readonly (readonly [name: string, needs: GitAccess])[] = [
  ['git-upload-pack', 'read'],
  ['git-receive-pack', 'write'],
];

/** What the request needs; null when it is none that git sends. */
export function gitNeedOf(method: string, target: RequestTarget): GitAccess | null {
  const { canonical, query } = target;
  // Discovery without a service is the dumb protocol, which serves every file of the repository by its path.
  if (method === 'GET' && canonical.endsWith('/info/refs')) return needOf((name) => query === `service=${name}`);
  return method === 'POST' && query === null ? needOf((name) => canonical.endsWith(`/${name}`)) : null;
}

const needOf = (matches: (service: string) => boolean): GitAccess | null => SERVICES.find(([name]) => matches(name))?.[1] ?? null;

export type GitVerdict = 'allowed' | 'push' | 'other';

/** Whether a grant for git of this access covers the request; `push`: it would write, and the grant only reads. */
export function judgeGit(access: GitAccess, method: string, headers: readonly string[], target: RequestTarget): GitVerdict {
  const need = gitNeedOf(method, target);
  // SECURITY: an override would make another request of this one at the origin; git sends none.
  if (need !== null && overrideMethods(headers, null).length === 0)
    return need === 'read' || access === 'write' ? 'allowed' : 'push';
  return access === 'read' && gitPushPath(target) !== null ? 'push' : 'other';
}
