// A CONNECT tunnel that looks at nothing: the least that a forward proxy in Node can cost. Measured only.
import { connect, createServer } from 'node:net';

const originPort = Number(process.env.BENCH_ORIGIN_PORT);

createServer({ noDelay: true }, (client) => {
  client.on('error', () => {});
  client.once('data', () => {
    const origin = connect({ port: originPort, host: '127.0.0.1', noDelay: true }, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      origin.pipe(client);
      client.pipe(origin);
    });
    origin.on('error', () => client.destroy());
    origin.on('close', () => client.destroy());
    client.on('close', () => origin.destroy());
  });
}).listen({ port: Number(process.env.BENCH_PORT), host: '127.0.0.1', backlog: 4096 });
