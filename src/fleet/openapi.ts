/**
 * The OpenAPI 3.1 document of the fleet API, written from the routes and their schemas. `openapi.json` beside this file is what it gives;
 * a test compares the two. Pure: it serves nothing and looks at no vault.
 */
import * as z from 'zod';
import { SIGNING_HEADERS, SKEW_MS, TIME_HEADER } from '../crypto/request-signing.ts';
import { ERRORS, type ErrorCode } from '../domain/errors.ts';
import type { FleetRoute } from './route.ts';
import { problem } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

/** What each route may answer besides its own errors. */
const OF_ALL: readonly ErrorCode[] = ['malformed_request', 'request_too_large', 'forbidden', 'invalid_input', 'internal_error'];
const OF_SIGNED: readonly ErrorCode[] = ['host_unauthenticated', 'clock_skewed', 'host_inactive', 'vault_unavailable'];

const schemaOf = (schema: z.ZodType, io: 'input' | 'output' = 'output'): Json => {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { target: 'draft-2020-12', io, unrepresentable: 'any' }) as Json;
  return rest;
};

/** @param version of the API's description; it rises when a member is added */
export function openApiOf(routes: readonly FleetRoute[], version = '1'): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    (paths[route.path] as Record<string, Json>)[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'alterd fleet API',
      version,
      description:
        'What the daemons of hosts ask of a central vault. Over TLS 1.3, to the authority that the host pinned when it was enrolled. How requests are signed, with test vectors: PROTOCOL.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'https://{vault}', variables: { vault: { default: 'vault.example.com:4790' } } }],
    paths,
    components: { schemas: { problem: schemaOf(problem) }, securitySchemes: SECURITY_SCHEMES, headers: HEADERS },
  };
}

const signature = (name: string, description: string): Json => ({ type: 'apiKey', in: 'header', name, description });

/** OpenAPI knows no signatures: the four headers stand for one, and all four are needed. */
const SECURITY_SCHEMES = {
  keyId: signature(titled(SIGNING_HEADERS.keyId), 'The id of the host.'),
  timestamp: signature(titled(SIGNING_HEADERS.timestamp), `Epoch milliseconds, within ${SKEW_MS / 1000} s of the vault's clock.`),
  nonce: signature(titled(SIGNING_HEADERS.nonce), '16 random bytes, base64url; good once, whichever replica is asked.'),
  signature: signature(titled(SIGNING_HEADERS.signature), '`v1=` and an Ed25519 signature, base64url.'),
};

const HEADERS = {
  time: { description: "The vault's clock, epoch milliseconds.", schema: { type: 'integer' } },
};

function operationOf(route: FleetRoute): Json {
  return {
    operationId: operationId(route),
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    security: route.signed ? [{ keyId: [], timestamp: [], nonce: [], signature: [] }] : [],
    ...(route.query === undefined ? {} : { parameters: parametersOf(route.query) }),
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body, 'input') } } } }),
    responses: { ...answersOf(route), ...refusalsOf(route) },
  };
}

const operationId = ({ method, path }: FleetRoute): string =>
  method.toLowerCase() + path.replace(/[/_-]+([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());

function parametersOf(query: z.ZodType): Json[] {
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }));
}

const withTime = { [titled(TIME_HEADER)]: { $ref: '#/components/headers/time' } };

const answersOf = (route: FleetRoute): Json =>
  Object.fromEntries(
    Object.entries(route.answers).map(([status, { description, schema, type = 'application/json' }]) => [
      status,
      { description, headers: withTime, ...(schema === undefined ? {} : { content: { [type]: { schema: schemaOf(schema) } } }) },
    ]),
  );

/** The refusals of a route by their status; a status that the route answers itself keeps its own description. */
function refusalsOf(route: FleetRoute): Json {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...route.errors, ...OF_ALL, ...(route.signed ? OF_SIGNED : [])])) {
    const status = ERRORS[code].apiStatus ?? 500;
    if (route.answers[status] === undefined) byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(' '),
        headers: withTime,
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/problem' } } },
      },
    ]),
  );
}

function titled(header: string): string {
  return header.replace(/(^|-)([a-z])/g, (_all, dash: string, letter: string) => dash + letter.toUpperCase());
}
