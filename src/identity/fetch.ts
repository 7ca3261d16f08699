/** The platform's fetch interface over the daemon's own gate, for libraries that speak to identity providers. They get nothing else. */
import type { HttpsCall } from '../domain/https-call.ts';

type FetchLike = (
  url: string,
  options: { readonly method?: string; readonly headers?: unknown; readonly body?: unknown },
) => Promise<Response>;

/** A fetch that goes through `call`; redirects are answers like any other. */
export function fetchOver(call: HttpsCall): FetchLike {
  return async (url, { method = 'GET', headers, body }) => {
    const answer = await call({
      url,
      method,
      headers: Object.fromEntries(new Headers(headers as ConstructorParameters<typeof Headers>[0])),
      body: bytesOf(body),
    });
    const mayHaveBody = ![101, 204, 205, 304].includes(answer.status);
    return new Response(mayHaveBody ? Buffer.from(answer.body) : null, { status: answer.status, headers: answer.headers });
  };
}

function bytesOf(body: unknown): Uint8Array | null {
  if (body === null || body === undefined) return null;
  if (typeof body === 'string' || body instanceof URLSearchParams) return Buffer.from(String(body));
  if (body instanceof Uint8Array) return body;
  throw new TypeError('a body of this kind is not sent');
}
