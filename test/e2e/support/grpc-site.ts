/** A small gRPC service by hand: HTTP/2 frames as the protocol defines them, with metadata and trailers. */
import type { Http2SecureServer, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';

const framed = (text: string): Buffer => {
  const message = Buffer.from(text);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
};

/** Say echoes, Count streams as many messages as it is told. Answers the headers of each call that arrived. */
export function serveGrpc(server: Http2SecureServer, authorization: string): IncomingHttpHeaders[] {
  const calls: IncomingHttpHeaders[] = [];
  server.on('stream', (stream, headers) => {
    calls.push(headers);
    stream.on('error', () => {});
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      const text = Buffer.concat(parts).subarray(5).toString();
      const isKnown = headers.authorization === authorization;
      const messages = headers[':path'] === '/echo.Echo/Count' ? Array.from({ length: Number(text) }, (_, i) => `n${i}`) : [text];
      answer(stream, isKnown ? messages : [], isKnown ? '0' : '16');
    });
  });
  return calls;
}

function answer(stream: ServerHttp2Stream, messages: readonly string[], status: string): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'x-head': 'head' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status, 'x-tail': `${messages.length} messages` }));
  for (const message of messages) stream.write(framed(message));
  stream.end();
}
