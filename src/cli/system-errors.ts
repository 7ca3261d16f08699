/** What the operating system refused, in words with something to do; null for an error that is not its. Pure. */

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of this user is used up',
  ENOENT: 'it is not there',
  ENOTDIR: 'a part of its path is no directory',
  EISDIR: 'it is a directory',
  EMFILE: 'too many files are open',
};

const DOINGS: Readonly<Record<string, string>> = { mkdir: 'made', open: 'opened', rename: 'put in place', copyfile: 'made' };

export function explainedSystemError(error: unknown): { problem: string; hint: string } | null {
  const { code, path, dest, syscall } = error as NodeJS.ErrnoException & { dest?: string };
  if (!(error instanceof Error) || code === undefined || path === undefined || !Object.hasOwn(REASONS, code)) return null;
  return {
    problem: `${dest ?? path} can't be ${DOINGS[syscall ?? ''] ?? 'used'}: ${REASONS[code]} (${code})`,
    hint:
      code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE'
        ? 'Make room, then try again.'
        : 'Name a directory that this user may write, with `--home DIR` or ALTERD_HOME, or use the user whose installation it is.',
  };
}
