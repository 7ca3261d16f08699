// An agent that calls a gRPC service: `grpc.mjs HOST:PORT`. Messages are plain bytes; the library needs no schema for that.
import grpc from '@grpc/grpc-js';

const bytes = (value) => value;
const method = (path, responseStream) => ({
  path,
  requestStream: false,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const Client = grpc.makeGenericClientConstructor(
  { say: method('/echo.Echo/Say', false), count: method('/echo.Echo/Count', true), admin: method('/echo.Admin/Drop', false) },
  'Echo',
);
const client = new Client(process.argv[2], grpc.credentials.createSsl());
const unary = (name) =>
  new Promise((resolve) => {
    const result = { trailers: {} };
    const call = client[name](Buffer.from('hello'), (error, answer) => {
      result.answer = answer?.toString();
      result.code = error?.code ?? 0;
    });
    call.on('status', (status) => resolve(Object.assign(result, { trailers: status.metadata.getMap() })));
  });

const said = await unary('say');
const counted = { messages: [] };
await new Promise((resolve) => {
  const call = client.count(Buffer.from('3'));
  call.on('data', (part) => counted.messages.push(part.toString()));
  call.on('error', (error) => resolve(Object.assign(counted, { code: error.code })));
  call.on('status', (status) => resolve(Object.assign(counted, { code: status.code, trailers: status.metadata.getMap() })));
});
const refused = await unary('admin');
client.close();
process.stdout.write(JSON.stringify({ said, counted, refused: refused.code }));
