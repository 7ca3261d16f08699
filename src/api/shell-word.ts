/** One word of a shell command that people will paste. */

/** SECURITY: paths and labels come from agents; unquoted, `$(…)` in one would run when an operator pastes the advice. */
export function shellWord(text: string): string {
  const printable = text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '');
  return /^[\w@%+:,./-]+$/.test(printable) && !printable.startsWith('-') ? printable : `'${printable.replaceAll("'", "'\\''")}'`;
}
