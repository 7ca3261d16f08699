import { expect, it } from 'vitest';
import { nearestOf } from '../../../src/cli/nearest.ts';

const NAMES = ['research-bot', 'research-bot-2', 'github', 'gitlab', 'a', 'web-01', 'web-02'];

it.each<[string, string[]]>([
  ['reserch-bot', ['research-bot']],
  ['gihtub', ['github']],
  ['GitHub', ['github']],
  ['gitlba', ['gitlab']],
  ['web-03', ['web-01', 'web-02']],
  ['research-bot-3', ['research-bot-2']],
  ['b', []],
  ['anthropic', []],
  ['', []],
  ['x'.repeat(100), []],
])('%s is near to %j', (word, near) => {
  expect(nearestOf(word, NAMES)).toEqual(near);
});
