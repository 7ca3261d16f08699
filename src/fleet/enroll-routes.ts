/** `/v1/enroll` and `/v1/host/keys`: how a host makes its keys known, the first time by a token and later by the key that it has. */

import type { FleetHost } from '../domain/fleet-host.ts';
import type { EnrollAnswer } from '../domain/fleet-wire.ts';
import type { FleetDeps } from './deps.ts';
import { type FleetRoute, hostRoute, openRoute } from './route.ts';
import { enrollAnswer, enrollRequest, keysRequest } from './schemas.ts';

const MAX_BODY_BYTES = 65_536;

export function enrollRoutes({ vault, vaultId }: FleetDeps): FleetRoute[] {
  const answerOf = (host: FleetHost): EnrollAnswer => ({
    host_id: host.id,
    host_name: host.name,
    vault_id: vaultId,
    epoch: vault.epoch,
  });
  return [
    openRoute({
      method: 'POST',
      path: '/v1/enroll',
      summary: 'Enroll a host by its token',
      description: 'Again with the same token and the same keys is harmless, and answers the same.',
      body: enrollRequest,
      maxBodyBytes: MAX_BODY_BYTES,
      answers: { 200: { description: 'The host is enrolled.', schema: enrollAnswer } },
      errors: ['enrolment_refused', 'conflict', 'audit_unavailable'],
      answer: async ({ body }) => {
        const { token, signing_key: signingKey, sealing_key: sealingKey, capabilities, version } = body;
        const host = await vault.hosts.enroll({ token, signingKey, sealingKey, capabilities, version });
        return { status: 200, body: answerOf(host) };
      },
    }),
    hostRoute({
      method: 'POST',
      path: '/v1/host/keys',
      summary: 'Change the keys of the host',
      description:
        'Signed by the key that is in force. From the answer on only the new keys are; the same request signed by the new key answers the same. Also says what the daemon is able to enforce after an update.',
      body: keysRequest,
      maxBodyBytes: MAX_BODY_BYTES,
      answers: { 200: { description: 'The new keys are in force.', schema: enrollAnswer } },
      errors: ['conflict', 'audit_unavailable'],
      answer: async ({ host, body }) => {
        const { signing_key: signingKey, sealing_key: sealingKey, capabilities, version } = body;
        const changed = await vault.hosts.replaceKeys(host.id, { signingKey, sealingKey, capabilities, version });
        return { status: 200, body: answerOf(changed) };
      },
    }),
  ];
}
