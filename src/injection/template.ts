/**
 * Templates of injections: literal text with `{field}` where a field of the credential goes, `{{` and `}}` for braces.
 * Rendered in one pass: what a field holds is never read as a template again (S-66).
 */

export interface CompiledTemplate {
  /** Literal, field, literal, …: always an odd number, literals at even places. */
  readonly parts: readonly string[];
  /** Fields in order of appearance, each once. */
  readonly fieldNames: readonly string[];
  /** What is wrong with the template, for people; a template with problems must not be rendered. */
  readonly problems: readonly string[];
}

const TOKENS = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
const FIELD_NAME = /^[a-z][a-z0-9_]*$/;

/** Reads a template and names its problems, among them each field that `fieldNames` does not have. */
export function compileTemplate(text: string, fieldNames: readonly string[]): CompiledTemplate {
  const parts: string[] = [''];
  const problems: string[] = [];
  let from = 0;
  const literal = (piece: string): void => {
    parts[parts.length - 1] += piece;
  };
  for (const match of text.matchAll(TOKENS)) {
    const token = match[0];
    const name = match[1];
    literal(text.slice(from, match.index));
    from = match.index + token.length;
    if (token === '{{' || token === '}}') literal(token[0] as string);
    else if (name === undefined) problems.push(`a single ${token} stands alone; write ${token}${token} for a brace`);
    else if (!FIELD_NAME.test(name)) problems.push(`{${name}} is not a field name`);
    else {
      if (!fieldNames.includes(name)) problems.push(`there is no field {${name}}; there is ${fieldNames.join(', ') || 'none'}`);
      parts.push(name, '');
    }
  }
  literal(text.slice(from));
  return { parts, fieldNames: [...new Set(parts.filter((_part, i) => i % 2 === 1))], problems };
}

/** The text with each field replaced by what `lookUp` answers. */
export const renderTemplate = (template: CompiledTemplate, lookUp: (field: string) => string): string =>
  template.parts.map((part, i) => (i % 2 === 1 ? lookUp(part) : part)).join('');
