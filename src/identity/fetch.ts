/** The platform's fetch interface over the daemon's own gate, for libraries that speak to identity providers. They get nothing else. */
import type { HttpsCall } from '../domain/https-call.ts';

type FetchLike = (
  url: string,
  options: { readonly method?: string; readonly headers?: unknown; readonly body?: unknown },
) => Promise<Response>;

/** A fetch that goes through `call`; redirects are answers like any other. */
export function fetchOver(call: HttpsCall): FetchLike {
  return async (url, { method = 'GET', headers, body }) => {
    if (method !== 'GET' && method !== 'POST') throw new TypeError(`${method} is not sent to identity providers`);
    const answer = await call({
      url,
      method,
      headers: Object.fromEntries(new Headers(headers as ConstructorParameters<typeof Headers>[0])),
      body: bytesOf(body),
      // Only the exceptions that the operator configured hold.
      allowPrivate: false,
    });
    const mayHaveBody = ![101, 204, 205, 304].includes(answer.status);
    return new Response(mayHaveBody ? answer.body : null, {
      status: answer.status,
      headers: answer.contentType === '' ? {} : { 'content-type': answer.contentType },
    });
  };
}

function bytesOf(body: unknown): Buffer | undefined {
  if (body === null || body === undefined) return undefined;
  if (typeof body === 'string' || body instanceof URLSearchParams) return Buffer.from(String(body));
  throw new TypeError('a body of this kind is not sent');
}
