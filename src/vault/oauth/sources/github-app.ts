/** The next installation token of a GitHub App: a short JWT of the app, exchanged at the installation's own address. */
import { oauthOf } from '../endpoints.ts';
import { TokenFailure } from '../token-answer.ts';
import { privateKeyOf, signAssertion } from './signed-assertion.ts';
import type { TokenSource } from './token-source.ts';

/** GitHub takes ten minutes at most; its clock may be behind. */
const LIFE_S = 540;
const CLOCK_SKEW_S = 60;

export const GITHUB_APP: TokenSource = {
  flows: ['github_app'],
  inputs: ['private_key', 'installation_id'],
  mayRenew: ({ material }) => material.has('private_key') && material.has('installation_id'),
  isSingleUse: () => false,
  next: async ({ client, material }) => {
    const { installationUrl } = oauthOf(client.parts.spec);
    if (installationUrl === null) throw new TokenFailure('setup', 'no_installation_url');
    const now = Math.floor(client.parts.now() / 1000);
    const assertion = signAssertion(privateKeyOf(material.get('private_key')!), {
      iss: client.parts.client.clientId,
      iat: now - CLOCK_SKEW_S,
      exp: now + LIFE_S,
    });
    const url = client.endpoint(installationUrl, { installation_id: material.get('installation_id')!.reveal() });
    return client.read(
      await client.send({
        method: 'POST',
        url,
        headers: { authorization: `Bearer ${assertion}`, accept: 'application/vnd.github+json' },
        body: Buffer.alloc(0),
      }),
    );
  },
};
