/** A person who signed in connects an account: it is theirs, and of use to an agent only by their delegation. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startIssuer, type TestIssuer } from '../../helpers/issuer.ts';
import { type OAuthStage, startOAuthStage } from '../../helpers/oauth-stage.ts';
import { signIn } from '../../helpers/sign-in.ts';

let stage: OAuthStage;
let issuer: TestIssuer;
let session: string;

beforeAll(async () => {
  stage = await startOAuthStage();
  issuer = await startIssuer(stage.pki);
  for (const name of ['anna', 'ben']) issuer.people.set(name, { email: `${name}@good.test` });
  const { configFile } = stage.daemon.paths;
  const before = readFileSync(configFile, 'utf8');
  writeFileSync(
    configFile,
    `allow_private = ["${issuer.host}:443"]\n${before.replace('resolve = {', `resolve = { "${issuer.host}:443" = "127.0.0.1:${issuer.port}",`)}
[[identity.issuer]]\nname = "corp"\nissuer = "${issuer.url}"\nclient_id = "${issuer.clientId}"\nalgorithms = ["ES256"]\n`,
  );
  await stage.daemon.running.reload();
  session = await signIn(stage.daemon, issuer, stage.pki, 'anna');
});
afterAll(async () => {
  await stage.stop();
  await issuer.close();
});

interface GrantShown {
  readonly grant: { readonly principal: string; readonly user: string; readonly kind: string; readonly status: string };
}

it('the grant is the person’s, the agent has it by delegation, and calls for nobody else', async () => {
  const bot = await stage.agent('helper');
  const other = await stage.agent('other');
  const connected = await stage.connect({ user_session: session, agent: 'helper', label: 'mine' });
  const { grant } = await stage.daemon.api<GrantShown>('GET', `/v1/grants/${connected.grant_id}`);
  expect(grant).toMatchObject({ principal: 'user', user: 'anna@good.test', kind: 'oauth' });
  const { delegations } = await stage.daemon.api<{ delegations: object[] }>('GET', '/v1/delegations');
  expect(delegations).toEqual([expect.objectContaining({ grant_id: connected.grant_id, agent: 'helper', status: 'active' })]);
  const as = async (subject: string): Promise<{ headers: Record<string, string> }> => ({
    headers: { 'alter-user-token': await issuer.token(subject) },
  });
  expect(JSON.parse((await bot.ask('/data', await as('anna'))).body)).toMatchObject({ account: 'ada' });
  stage.spoil();
  expect((await bot.ask('/data', await as('anna'))).status).toBe(200);
  expect((await bot.ask('/data', await as('ben'))).status).toBe(403);
  expect((await other.ask('/data', await as('anna'))).status).toBe(403);
});

it('the same account that is connected for everybody is a grant of its own; the person’s never becomes the system’s', async () => {
  const mine = await stage.connect({ user_session: session });
  const everybodys = await stage.connect({ system: true });
  expect(everybodys.grant_id).not.toBe(mine.grant_id);
  expect(await stage.connect({ user_session: session })).toMatchObject({ grant_id: mine.grant_id, reconnected: true });
  await stage.daemon.api('POST', `/v1/grants/${everybodys.grant_id}/revoke`);
});

it.each([
  ['a sign-in that nobody has', { user_session: 'made-up', agent: 'helper' }, /re_auth_required/],
  ['everybody beside a person', { system: true }, /name an agent, a user or a group/],
  ['an agent that is not there', { agent: 'nobody' }, /not_found/],
  ['a grant that has an owner', { grant_id: 'mine' }, /stays with its owner/],
])('%s connects nothing', async (_what, wanted, reason) => {
  await expect(stage.connect({ user_session: session, ...wanted })).rejects.toThrow(reason);
});

it('a person who is removed takes the tokens along', async () => {
  const before = stage.revoked.length;
  await stage.daemon.api('DELETE', '/v1/users/anna@good.test');
  const { grants } = await stage.daemon.api<{ grants: { principal: string }[] }>('GET', '/v1/grants');
  expect(grants.filter(({ principal }) => principal === 'user')).toEqual([]);
  const { secrets } = await stage.daemon.api<{ secrets: { oauth: { state: string } }[] }>('GET', '/v1/secrets');
  expect(secrets.map(({ oauth }) => oauth.state)).toEqual(['revoked']);
  await expect.poll(() => stage.revoked.length).toBe(before + 1);
});
