/**
 * The path of a new user, command by command, with the built program and an unmodified curl. api.github.com is a server on
 * loopback; everything else is as it would be.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, startAlterd } from '../helpers/alterd-process.ts';
import { makePki } from '../helpers/pki.ts';
import { answerJson, configFor, type Provider, startProvider } from './support/provider.ts';

const TOKEN = 'github_pat_SEKRET-marker-user-path';
const pki = makePki();
let provider: Provider;
let alterd: AlterdProcess;

beforeAll(async () => {
  provider = await startProvider(pki, {
    sites: {
      'api.github.com': (request, response) => {
        const known = request.headers.authorization === `Bearer ${TOKEN}`;
        answerJson(response, known ? 200 : 401, known ? { login: 'octocat' } : { message: 'Bad credentials' });
      },
    },
  });
  alterd = await startAlterd({ config: configFor(pki, { 'api.github.com:443': provider.port }) });
});
afterAll(async () => {
  await alterd?.stop();
  await provider?.close();
});

describe('a new user', () => {
  it('stores a token, makes an agent and grants it two paths', async () => {
    const added = await alterd.cli(['secret', 'add', 'github', '--token-stdin'], { input: `${TOKEN}\n` });
    expect(added.status, added.stderr).toBe(0);
    expect(added.stdout + added.stderr).not.toContain(TOKEN);
    expect(added.stderr).toContain('alterd agent create');

    const agent = await alterd.cli(['agent', 'create', 'research-bot']);
    expect(agent.status, agent.stderr).toBe(0);
    expect(agent.stdout).toContain('research-bot');

    const grant = await alterd.cli([
      ...['grant', 'create', 'github', '--agent', 'research-bot'],
      ...['--methods', 'GET', '--paths', '/user,/repos/**', '--allow-private'],
    ]);
    expect(grant.status, grant.stderr).toBe(0);
    expect(grant.stderr).toContain('alterd run --agent research-bot -- curl');
  });

  it('runs curl as the agent: the API sees the token, curl does not', async () => {
    const ran = await alterd.cli(['run', '--agent', 'research-bot', '--', 'curl', '-sv', 'https://api.github.com/user']);
    expect(ran.status, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toEqual({ login: 'octocat' });
    expect(ran.stdout + ran.stderr).not.toContain(TOKEN);
    const [arrival] = provider.arrivals;
    expect(arrival).toMatchObject({ method: 'GET', url: '/user', headers: { authorization: `Bearer ${TOKEN}` } });
    expect(JSON.stringify(arrival?.rawHeaders).toLowerCase()).not.toContain('proxy-');
  });

  it('gives the command a placeholder in place of the token', async () => {
    const ran = await alterd.cli(['run', '--agent', 'research-bot', '--', 'sh', '-c', 'printf %s "$GITHUB_TOKEN"']);
    expect(ran.stdout).toMatch(/^ghp_[A-Za-z0-9]{36}$/);
    const before = provider.arrivals.length;
    const used = await alterd.cli([
      ...['run', '--agent', 'research-bot', '--', 'sh', '-c'],
      'curl -s -H "Authorization: token $GITHUB_TOKEN" https://api.github.com/repos/acme/widgets',
    ]);
    expect(JSON.parse(used.stdout)).toEqual({ login: 'octocat' });
    expect(provider.arrivals[before]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  it('sees in the audit trail what the agent called', async () => {
    const tail = await alterd.cli(['audit', 'tail']);
    expect(tail.status, tail.stderr).toBe(0);
    expect(tail.stdout).toMatch(/req_\S+\s+research-bot\s+GET api\.github\.com\/user\s+\S+\s+200\b/);
    expect(tail.stderr).toContain('alterd explain req_');
  });

  it('is told why a request went through', async () => {
    const id = /alterd explain (req_\w+)/.exec((await alterd.cli(['audit', 'tail'])).stderr)?.[1] ?? '';
    const explained = await alterd.cli(['explain', id]);
    expect(explained.status, explained.stderr).toBe(0);
    expect(explained.stdout).toContain('ALLOWED');
    expect(explained.stdout).toContain(id);
  });

  it('sees a refused POST answered in place of the API, with the rule and the way out', async () => {
    const before = provider.arrivals.length;
    const ran = await alterd.cli([
      ...['run', '--agent', 'research-bot', '--'],
      ...['curl', '-s', '-i', '--http1.1', '-d', 'x=1', 'https://api.github.com/user'],
    ]);
    const [head = '', body = ''] = ran.stdout.split('\r\n\r\n').slice(-2);
    expect(head).toMatch(/^HTTP\/1\.1 403 /);
    expect(head).toMatch(/^alter-error: policy_violation$/im);
    expect(head).toMatch(/^content-type: application\/problem\+json$/im);
    const problem = JSON.parse(body) as Record<string, string>;
    expect(problem).toMatchObject({ error: 'policy_violation', policy_error: 'method_not_allowed', rule: 'grant.methods' });
    expect(JSON.stringify(problem)).toContain('alterd grant');
    expect(provider.arrivals.length).toBe(before);

    const explained = await alterd.cli(['explain', problem.request_id ?? '']);
    expect(explained.stdout).toContain('REFUSED');
    expect(explained.stdout).toContain('--methods GET,POST');
    expect(explained.stdout).not.toContain(TOKEN);
  });

  it('is refused on a path outside the grant, before anything is dialled', async () => {
    const before = provider.arrivals.length;
    const ran = await alterd.cli([
      ...['run', '--agent', 'research-bot', '--'],
      ...['curl', '-s', '-w', '%{http_code}', 'https://api.github.com/orgs/acme'],
    ]);
    expect(ran.stdout).toMatch(/403$/);
    expect(ran.stdout).toContain('path_not_allowed');
    expect(provider.arrivals.length).toBe(before);
  });

  it('gets the exit status of the command back, and passes a signal on to it', async () => {
    expect((await alterd.cli(['run', '--agent', 'research-bot', '--', 'sh', '-c', 'exit 42'])).status).toBe(42);
    const killed = await alterd.cli(['run', '--agent', 'research-bot', '--', 'sh', '-c', 'kill -TERM $PPID; exec sleep 60']);
    expect(killed.status).toBe(143);
    expect((await alterd.cli(['run', '--agent', 'nobody', '--', 'true'])).status).toBe(4);
  });

  it('leaves no session behind', async () => {
    expect(await alterd.json<{ sessions: number }>(['status'])).toMatchObject({ sessions: 0, agents: 1, secrets: 1, grants: 1 });
  });

  it('finds the chain whole and the token in no output', async () => {
    expect(await alterd.json(['audit', 'verify'])).toMatchObject({ ok: true });
    await alterd.ok(['audit', 'export']);
    expect(alterd.printed()).not.toContain('SEKRET-marker');
    expect(provider.arrivals.length, 'the token did arrive').toBeGreaterThan(0);
  });
});
