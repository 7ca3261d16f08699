/** The version of this copy of alterd, as its package says. */
import { readFileSync } from 'node:fs';
import { ownFile } from './root.ts';

export const VERSION: string = (JSON.parse(readFileSync(ownFile('package.json'), 'utf8')) as { version: string }).version;
