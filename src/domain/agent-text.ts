/** Text that an agent chose, for people to read: it must not be able to look like anything but text (S-96). Pure. */

const MAX_LINE = 160;

/** Control, format and bidirectional characters as escapes, and no longer than a line. */
export function agentText(text: string, most = MAX_LINE): string {
  const escaped = text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu,
    (char) => `\\u{${(char.codePointAt(0) as number).toString(16)}}`,
  );
  if (escaped.length <= most) return escaped;
  // A half of a pair would be no character at all.
  return `${escaped.slice(0, most - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
