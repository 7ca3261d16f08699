/** A process with a journal and sinks on it that writes as fast as it can and says what was acknowledged, until it is killed. */
import { writeSync } from 'node:fs';
import type { SinkConfig } from '../../../src/config/sink.ts';
import { closing, opening } from '../journal/samples.ts';
import { startRig } from './rig.ts';

const [, , dir = '', sinks = '[]'] = process.argv;
const rig = await startRig(JSON.parse(sinks) as SinkConfig[], { dir });
for (let i = 0; ; i += 1) {
  const ids = await Promise.all(
    Array.from({ length: 10 }, (_, k) => rig.journal.record(opening({ path: `/${i}/${k}` }), closing())),
  );
  writeSync(1, `${ids.join(' ')}\n`);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
