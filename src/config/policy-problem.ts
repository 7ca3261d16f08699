/** What is wrong with a policy, and where. Errors keep it from being loaded; warnings are rules that say nothing. */

export interface PolicyProblem {
  readonly severity: 'error' | 'warning';
  /** The file, or the name of a stored policy. */
  readonly place: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, empty for the whole. */
  readonly path: string;
  readonly message: string;
}

/** `FILE:LINE:COLUMN: PATH MESSAGE`, which editors jump to. */
export const problemText = ({ place, line, column, path, message }: PolicyProblem): string =>
  `${place}:${line}:${column}: ${path === '' ? '' : `${path} `}${message}`;
