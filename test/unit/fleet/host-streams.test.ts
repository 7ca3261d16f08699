/** A replica that has lost the database lets its hosts go, so that they find one that hears of revocations. */
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import type { FleetHost } from '../../../src/domain/fleet-host.ts';
import { HostStreams } from '../../../src/fleet/host-streams.ts';
import { HostViews } from '../../../src/fleet/host-views.ts';
import { EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a stream goes on while the database answers, and ends when it does not', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const host = {
    id: 'h1',
    name: 'web-01',
    status: 'active',
    agentIds: [],
    capabilities: [],
    systemGrants: false,
  } as unknown as FleetHost;
  const views = new HostViews(() => ({ ...EMPTY_SNAPSHOT, hosts: [host] }));
  let isFresh = true;
  const streams = new HostStreams({
    ...{ views, hosts: { byId: () => host }, epoch: () => 7, isFresh: () => isFresh },
    onChange: () => () => {},
  });
  const server = createServer((_request, response) => streams.add(host, views.of(host).digest, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const answer = await new Promise<IncomingMessage>((resolve) =>
    get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false }, resolve),
  );
  let text = '';
  answer.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const ended = new Promise<void>((resolve) => answer.once('end', resolve));
  vi.advanceTimersByTime(20_000);
  expect(streams.size).toBe(1);
  isFresh = false;
  vi.advanceTimersByTime(5_000);
  await ended;
  expect(text.match(/event: ping/g)?.length).toBe(5);
  streams.close();
  await new Promise((resolve) => server.close(resolve));
});
