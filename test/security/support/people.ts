/** A wall with an issuer behind it, and two people who sign in there, each with a secret of their own for the same provider. */
import { readFileSync, writeFileSync } from 'node:fs';
import { startIssuer, type TestIssuer } from '../../helpers/issuer.ts';
import { signIn } from '../../helpers/sign-in.ts';
import { GOOD, startWall, type Wall, type WallAgent } from './wall.ts';
import type { Answer } from './wire.ts';

export const ANNA_SECRET = 'SEKRET-marker-anna-5b1d77c0';
export const BEN_SECRET = 'SEKRET-marker-ben-e94a03f2';
export const TEAM_SECRET = 'SEKRET-marker-team-1c88b6ad';

export interface PeopleWall extends Wall {
  readonly issuer: TestIssuer;
  /** The id of the user of a subject, who is known from then on. */
  userId(subject: string): Promise<string>;
  /** The handle of a sign-in of the subject, by a code that a browser enters. */
  signIn(subject: string): Promise<string>;
  /** A grant of the owner for GOOD, with the secret of that name. */
  grant(secret: string, owner: object, more?: object): Promise<string>;
  delegate(grant: string, agent: WallAgent, more?: object): Promise<string>;
  /** Leads `host:443` to a port on loopback from now on. */
  route(host: string, port: number): Promise<void>;
}

/** @param tables more TOML tables */
export async function startPeopleWall(tables = ''): Promise<PeopleWall> {
  const wall = await startWall({ config: 'allow_private = ["login.good.test:443"]', tables: `# people\n${tables}` });
  const issuer = await startIssuer(wall.pki);
  issuer.people.set('anna', { email: 'anna@good.test', name: 'Anna', groups: ['staff', 'writers'] });
  issuer.people.set('ben', { email: 'ben@good.test', groups: ['staff'] });
  const { configFile } = wall.daemon.paths;
  const edit = async (change: (text: string) => string): Promise<void> => {
    writeFileSync(configFile, change(readFileSync(configFile, 'utf8')));
    await wall.daemon.running.reload();
  };
  const route = (host: string, port: number): Promise<void> =>
    edit((text) => text.replace('resolve = {', `resolve = { "${host}:443" = "127.0.0.1:${port}",`));
  await route(issuer.host, issuer.port);
  await edit((text) =>
    text.replace(
      '# people',
      `[[identity.issuer]]\nname = "corp"\nissuer = "${issuer.url}"\nclient_id = "${issuer.clientId}"\nalgorithms = ["ES256"]`,
    ),
  );
  for (const [name, token] of Object.entries({ anna: ANNA_SECRET, ben: BEN_SECRET, team: TEAM_SECRET }))
    await wall.daemon.api('POST', '/v1/secrets', { name, provider: 'bearer', fields: { token } });
  let labels = 0;
  return {
    ...wall,
    issuer,
    route,
    userId: async (subject) => {
      const agent = await wall.daemon.api<{ agent: { name: string } }>('POST', '/v1/agents', { name: `intro-${++labels}` });
      const { user_id } = await wall.daemon.api<{ user_id: string }>('POST', '/v1/sessions', {
        agent: agent.agent.name,
        user_token: await issuer.token(subject),
      });
      return user_id;
    },
    signIn: (subject) => signIn(wall.daemon, issuer, wall.pki, subject),
    grant: async (secret, owner, more = {}) => {
      const { grant } = await wall.daemon.api<{ grant: { id: string } }>('POST', '/v1/grants', {
        credential: secret,
        ...owner,
        hosts: [GOOD],
        allow_private: true,
        label: `${secret}-${++labels}`,
        ...more,
      });
      return grant.id;
    },
    delegate: async (grant, agent, more = {}) => {
      const { delegation } = await wall.daemon.api<{ delegation: { id: string } }>('POST', '/v1/delegations', {
        grant,
        agent: agent.name,
        ...more,
      });
      return delegation.id;
    },
    stop: async () => {
      await wall.stop();
      await issuer.close();
    },
  };
}

/** One request of the agent for whoever the token names. */
export const askAs = (agent: WallAgent, token: string | null, target = '/'): Promise<Answer> =>
  agent.ask(target, { headers: token === null ? [] : [`Alter-User-Token: ${token}`] });
