/** `alterd provider`: a file of the operator's own in place of a built-in one, and a test of a stored secret against its provider. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlterdProcess, startAlterd } from '../helpers/alterd-process.ts';
import { makePki } from '../helpers/pki.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { answerJson, configFor, type Provider, startProvider } from './support/provider.ts';

const TOKEN = 'github_pat_SEKRET-marker-provider-test';
const pki = makePki();
const temporary = temporaryDirectory();
let status = 200;
let provider: Provider;
let alterd: AlterdProcess;

beforeAll(async () => {
  provider = await startProvider(pki, {
    sites: {
      'api.github.com': (request, response) =>
        answerJson(response, request.headers.authorization === `Bearer ${TOKEN}` ? status : 401, { login: 'octocat' }),
    },
  });
  alterd = await startAlterd({ config: configFor(pki, { 'api.github.com:443': provider.port }) });
  await alterd.ok(['secret', 'add', 'github', '--token-stdin'], { input: TOKEN });
  await alterd.ok(['agent', 'create', 'bot']);
});
afterAll(async () => {
  await alterd?.stop();
  await provider?.close();
});

const run = async (...args: string[]): Promise<{ status: number; result: Record<string, unknown>; said: string }> => {
  const end = await alterd.cli(['--output', 'json', 'provider', 'test', 'github', ...args]);
  expect(end.stdout + end.stderr).not.toContain('SEKRET');
  return {
    status: end.status,
    result: end.stdout === '' ? {} : (JSON.parse(end.stdout) as Record<string, unknown>),
    said: end.stderr,
  };
};

describe('alterd provider test', () => {
  it('says which grant is missing, and makes none', async () => {
    const { status: code, said } = await run();
    expect(code).not.toBe(0);
    expect(said).toContain('alterd grant create github --agent NAME');
    expect(await alterd.json(['grant', 'list'])).toEqual([]);
  });

  it('passes when the provider accepts the secret, in one request that the journal has', async () => {
    await alterd.ok(['grant', 'create', 'github', '--agent', 'bot', '--label', 'all', '--allow-private']);
    expect(await run()).toMatchObject({
      status: 0,
      result: { verdict: 'pass', status: 200, url: 'https://api.github.com/user' },
    });
    expect(provider.arrivals.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /user']);
    const entries = await alterd.json<{ path: string; agent: string }[]>(['audit', 'list', '--host', 'api.github.com']);
    expect(entries.filter((entry) => entry.path === '/user')).toMatchObject([{ agent: 'bot' }]);
  });

  it.each([
    [401, 'fail', 'did not accept'],
    [403, 'fail', '403'],
    [429, 'unclear', '429'],
    [404, 'unclear', 'says nothing'],
    [503, 'unclear', 'trouble'],
  ])('an answer of %d is told as %s', async (answer, verdict, because) => {
    status = answer;
    const tried = await run();
    status = 200;
    expect(tried).toMatchObject({ status: 1, result: { verdict, status: answer, because: expect.stringContaining(because) } });
  });

  it("tells alterd's own refusal from the provider's", async () => {
    await alterd.ok(['grant', 'revoke', 'all', '--yes']);
    await alterd.ok([
      'grant',
      'create',
      'github',
      '--agent',
      'bot',
      '--paths',
      '/repos/**',
      '--label',
      'narrow',
      '--allow-private',
    ]);
    const before = provider.arrivals.length;
    const { status: code, result, said } = await run();
    expect({ code, result }).toMatchObject({
      code: 1,
      result: { verdict: 'fail', because: expect.stringContaining('policy_violation') },
    });
    expect(said).toContain('alterd grant show');
    expect(provider.arrivals.length).toBe(before);
    expect(await run('--path', '/repos/x')).toMatchObject({ status: 0, result: { verdict: 'pass' } });
  });

  it('leaves no session behind', async () => {
    expect(await alterd.json(['session', 'list'])).toEqual([]);
  });
});

describe('a provider file of one’s own', () => {
  it('takes the place of the built-in one, which the list shows', async () => {
    const file = join(temporary(), 'bitly.toml');
    writeFileSync(
      file,
      'slug = "bitly"\nname = "Bitly, corrected"\nkind = "static"\nhosts = ["api.bitly.test"]\nevidence = "documented"\n[[inject]]\nin = "header"\nname = "Authorization"\ntemplate = "Bearer {token}"\n',
    );
    await alterd.ok(['provider', 'validate', file]);
    await alterd.ok(['provider', 'add', file]);
    expect(await alterd.json(['provider', 'show', 'bitly'])).toMatchObject({
      hosts: ['api.bitly.test'],
      user_defined: true,
      overrides_builtin: true,
    });
    expect(await alterd.ok(['provider', 'list'])).toMatch(/^bitly .*in place of alterd's/m);
    expect(await alterd.ok(['provider', 'show', 'github'])).toMatch(/test +GET https:\/\/api\.github\.com\/user/);
  });

  it('is refused when it names the host of another without a reason', async () => {
    const file = join(temporary(), 'acme.toml');
    const text = (more: string): string =>
      `slug = "acme"\nname = "Acme"\nkind = "static"\nhosts = ["api.github.com"]\nevidence = "general"\n${more}\n[[inject]]\nin = "header"\nname = "X-Acme"\ntemplate = "{token}"\n`;
    writeFileSync(file, text(''));
    const refused = await alterd.cli(['provider', 'validate', file]);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('shares api.github.com with github');
    writeFileSync(file, text('[[shares_host_with]]\nprovider = "github"\nreason = "a gateway before it"'));
    await alterd.ok(['provider', 'validate', file]);
  });
});
