/** What the origin makes of a credential: it knows the secrets by their value and answers only their names. */
import { answerJson, type Site } from './provider.ts';

/** Answers `{ "secret": NAME }` for `Authorization: Bearer VALUE`, and 401 for anything else. */
export function bearerSite(secrets: Readonly<Record<string, string>>): Site {
  const names = new Map(Object.entries(secrets).map(([name, value]) => [`Bearer ${value}`, name]));
  return (request, response) => {
    request.resume();
    request.on('end', () => {
      const secret = names.get(request.headers.authorization ?? '') ?? null;
      answerJson(response, secret === null ? 401 : 200, { secret, method: request.method, url: request.url });
    });
  };
}
