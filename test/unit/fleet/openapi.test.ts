/** The committed OpenAPI document says what the routes do; `UPDATE_DOCS=1` writes it anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { FleetDeps } from '../../../src/fleet/deps.ts';
import { openApiOf } from '../../../src/fleet/openapi.ts';
import { fleetRoutes } from '../../../src/fleet/routes.ts';

const FILE = fileURLToPath(new URL('../../../src/fleet/openapi.json', import.meta.url));
/** Routes are described without a vault: nothing is asked of it. */
const vault = { onAuthorityChange: () => () => {} };
const routes = fleetRoutes({ vault, vaultId: '', audit: {}, onFault: () => {} } as unknown as FleetDeps);
const document = openApiOf(routes);

test('openapi.json is what the schemas give', () => {
  const text = `${JSON.stringify(document, null, 2)}\n`;
  if (process.env.UPDATE_DOCS === '1') writeFileSync(FILE, text);
  expect(readFileSync(FILE, 'utf8'), 'UPDATE_DOCS=1 npx vitest run test/unit/fleet writes it anew').toBe(text);
});

test('every operation has a name of its own, and every signed one says so', () => {
  const operations = Object.values(
    document.paths as Record<string, Record<string, { operationId: string; security: object[] }>>,
  ).flatMap((path) => Object.values(path));
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(routes.length);
  expect(operations.filter(({ security }) => security.length > 0)).toHaveLength(routes.filter(({ signed }) => signed).length);
});

test('what is signed is what lies below /v1/host, and nothing else', () => {
  for (const { path, signed } of routes) expect([path, signed]).toEqual([path, path.startsWith('/v1/host/')]);
});
