/** Bodies of an audit entry for people: what they are, then their lines. Pure. SECURITY: what others sent is made printable line by line. */
import type { BodiesView, BodyView } from '../api/audit-bodies.ts';
import { printable } from './table.ts';

export const bodiesText = ({ request, response }: BodiesView): string =>
  request === null && response === null
    ? '\nNo body is kept of it. From now on, for a grant: `alterd grant update GRANT --audit-bodies both`.\n'
    : bodyText('request', request) + bodyText('response', response);

function bodyText(side: string, body: BodyView | null): string {
  if (body === null) return '';
  const facts = [
    `${body.length} bytes`,
    body.content_type,
    body.coding,
    body.truncated ? 'cut' : null,
    body.redacted === 0 ? null : `${body.redacted} masked`,
    body.encoding === 'base64' ? 'base64' : null,
  ];
  const lines = body.text.split(/\r?\n/).map(printable);
  return `\n${side} body: ${printable(facts.filter((fact) => fact !== null).join(', '))}\n${lines.join('\n')}\n`;
}
