/** Heads as text: fields in the order given, nothing added that the caller did not ask for. */

/** Fields in the two forms that protocols want; each is made when it is asked for. */
export interface HeaderBlock {
  /** Name, value, name, value … */
  readonly list: readonly string[];
  /** Complete lines, each with CRLF. */
  readonly text: string;
}

class ListBlock implements HeaderBlock {
  readonly list: readonly string[];

  constructor(list: readonly string[]) {
    this.list = list;
  }

  get text(): string {
    return fieldLines(this.list);
  }
}

/** A block from a flat list. */
export function blockOf(list: readonly string[]): HeaderBlock {
  return new ListBlock(list);
}

/** A flat list as lines, each with CRLF. */
export function fieldLines(list: readonly string[]): string {
  let text = '';
  for (let i = 0; i < list.length; i += 2) text += `${list[i]}: ${list[i + 1]}\r\n`;
  return text;
}

/** `startLine` without CRLF; `fields` and `extra` are complete lines with CRLF. */
export function headText(startLine: string, fields: string, extra = ''): string {
  return `${startLine}\r\n${fields}${extra}\r\n`;
}
