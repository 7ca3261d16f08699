/** Refreshing, by the clock: early, once, durable before the old token is forgotten, and never in a storm. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import type { HttpsCall } from '../../../src/domain/https-call.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { refusal } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { answered, answerTo, connectAccount, openAccountVault } from './oauth-vault.ts';

const directory = temporaryDirectory();
const HOUR = 3_600_000;

async function opened(https?: HttpsCall, home = directory()) {
  const provider = { calls: 0, answer: https ?? (async ({ body }) => answerTo(body)) };
  const account = await openAccountVault(home, (request) => {
    provider.calls++;
    return provider.answer(request);
  });
  onTestFinished(() => account.vault.close());
  return { ...account, provider, home, grant: () => account.vault.authority.grants[0]! };
}

async function connected() {
  const all = await opened();
  await connectAccount(all.vault);
  all.provider.calls = 0;
  const token = async (): Promise<string> => (await all.vault.obtain(all.grant())).fields.get('access_token')!.reveal();
  return { ...all, token };
}

it('a token in memory costs no promise, and none is renewed before it is due', async () => {
  const { vault, grant, provider, clock, token } = await connected();
  expect(await token()).toBe('SEKRET-marker-access-1');
  clock.now += HOUR / 2;
  expect(vault.obtain(grant())).not.toBeInstanceOf(Promise);
  expect(provider.calls).toBe(0);
});

it('one that is due serves while the next one is fetched', async () => {
  const { provider, clock, token } = await connected();
  await token();
  clock.now += HOUR - 60_000;
  expect(await token()).toBe('SEKRET-marker-access-1');
  await expect.poll(token).toBe('SEKRET-marker-access-2');
  expect(provider.calls).toBe(1);
});

it('while it is good, an endpoint that fails is asked ever more rarely and nobody notices', async () => {
  const { provider, clock, token } = await connected();
  provider.answer = async () => answered(503, {});
  await token();
  clock.now += HOUR - 250_000;
  for (let second = 0; second < 200; second++) {
    expect(await token()).toBe('SEKRET-marker-access-1');
    await new Promise(setImmediate);
    clock.now += 1_000;
  }
  expect(provider.calls).toBeGreaterThan(3);
  expect(provider.calls).toBeLessThan(10);
});

it('what fails for a while goes on afterwards with the same refresh token', async () => {
  const { provider, clock, token } = await connected();
  const { answer } = provider;
  clock.now += 2 * HOUR;
  provider.answer = async () => {
    throw new AlterError('upstream_timeout', { host: 'auth.acme.test', reason: 'no answer' });
  };
  expect(await refusal(token())).toMatchObject({ code: 'credential_unavailable' });
  provider.answer = answer;
  expect(await refusal(token())).toMatchObject({ code: 'credential_unavailable' });
  clock.now += 1_001;
  expect(await token()).toBe('SEKRET-marker-access-2');
});

it('tokens that can not be stored are kept and stored later: the provider is not asked again', async () => {
  const { provider, journal, clock, token } = await connected();
  clock.now += 2 * HOUR;
  journal.onRecord = ({ action }) => {
    if (action === 'oauth.refreshed') throw new AlterError('audit_unavailable', { reason: 'the disk is full' });
  };
  expect(await refusal(token())).toMatchObject({ code: 'audit_unavailable' });
  journal.onRecord = null;
  clock.now += 1_001;
  expect(await token()).toBe('SEKRET-marker-access-2');
  expect(provider.calls).toBe(1);
});

it('an answer that comes after the account was connected again is dropped', async () => {
  const { vault, provider, clock, token, grant } = await connected();
  clock.now += 2 * HOUR;
  const { answer } = provider;
  provider.answer = async (request) => {
    provider.answer = answer;
    const answerNow = await answer(request);
    await connectAgain();
    return answerNow;
  };
  const connectAgain = async (): Promise<void> => {
    await vault.connect.connectWith({
      provider: 'acme',
      grantId: grant().id,
      flow: 'refresh_token',
      inputs: new Map([['refresh_token', new Secret('SEKRET-marker-refresh-70')]]),
    });
  };
  expect(await token()).toBe('SEKRET-marker-access-71');
  expect(await token()).toBe('SEKRET-marker-access-71');
});

it('every change of the database is one that the next life opens, and the refresh token is kept when none comes', async () => {
  const first = await connected();
  first.clock.now += 2 * HOUR;
  first.provider.answer = async () => answered(200, { access_token: 'SEKRET-marker-access-only', expires_in: 60 });
  expect(await first.token()).toBe('SEKRET-marker-access-only');
  await first.vault.close();
  const second = await opened(undefined, first.home);
  second.clock.now = first.clock.now + HOUR;
  const material = await second.vault.obtain(second.grant());
  expect(material.fields.get('access_token')!.reveal()).toBe('SEKRET-marker-access-2');
});

it('a new data key seals clients and tokens again', async () => {
  const { vault, clock, token } = await connected();
  await vault.rotateDataKey();
  clock.now += 2 * HOUR;
  expect(await token()).toBe('SEKRET-marker-access-2');
});

describe('kill -9', () => {
  const PROGRAM = join(import.meta.dirname, 'oauth-vault.ts');

  async function killedAt(point: string): Promise<string> {
    const home = directory();
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), PROGRAM, home, point], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (part: Buffer) => {
        said += part.toString();
        if (said.includes(point)) resolve();
      });
      child.once('exit', () => reject(new Error(`ended at ${said}`)));
    });
    child.removeAllListeners('exit');
    child.kill('SIGKILL');
    await once(child, 'close');
    return home;
  }

  it.each(['asked', 'answered'])('when it has %s: one call says whether the refresh token was used up', async (point) => {
    const { vault, provider, clock, grant } = await opened(
      async () => answered(400, { error: 'invalid_grant' }),
      await killedAt(point),
    );
    clock.now += 3 * HOUR;
    for (let n = 0; n < 3; n++) {
      expect(await refusal(async () => vault.obtain(grant()))).toMatchObject({
        code: 're_auth_required',
        text: expect.stringContaining('cut off'),
      });
    }
    expect(provider.calls).toBe(1);
  });

  it('when it has asked, and the provider never heard of it: the refresh token is still good', async () => {
    const { vault, provider, clock, grant } = await opened(undefined, await killedAt('asked'));
    clock.now += 3 * HOUR;
    expect((await vault.obtain(grant())).fields.get('access_token')!.reveal()).toBe('SEKRET-marker-access-2');
    expect(provider.calls).toBe(1);
  });

  it('when it has stored: the newest token is there', async () => {
    const { vault, provider, clock, grant } = await opened(undefined, await killedAt('stored'));
    clock.now += 2 * HOUR;
    expect((await vault.obtain(grant())).fields.get('access_token')!.reveal()).toBe('SEKRET-marker-access-2');
    expect(provider.calls).toBe(0);
  });
});
