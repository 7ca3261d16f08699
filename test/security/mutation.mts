/**
 * Do the tests notice when a defence is gone? For each defence in the list, one edit takes it out of a copy of the sources, and the one test that
 * must fail is run against the copy; unchanged, it must pass. Nothing is ever changed in the checkout: `npm run mutation [-- NAME…]`.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Mutation {
  readonly name: string;
  readonly file: string;
  /** Text that is there exactly once, near a `SECURITY:` comment; what takes its place switches the defence off. */
  readonly from: string;
  readonly to: string;
  /** Test file, of this directory unless it says another, and the start of the title that must fail; empty: any. */
  readonly test: string;
  readonly title: string;
}

const MUTATIONS: readonly Mutation[] = [
  {
    name: 'host-agreement',
    file: 'src/proxy/facts.ts',
    from: 'if (raw === null || raw === destination.authority) return;',
    to: 'if (raw !== destination.authority) return;',
    test: 'hosts',
    title: 'S-02',
  },
  {
    name: 'host-in-cache-key',
    file: 'src/proxy/authority-view.ts',
    from: 'let compiled = kept.get(host);',
    to: 'let compiled: CompiledInjection | undefined = [...kept.values()][0];',
    test: 'hosts',
    title: 'S-17 an injection',
  },
  {
    name: 'address-vetting',
    file: 'src/proxy/egress/resolver.ts',
    from: "if (cls === 'forbidden') refuse('address_not_allowed');",
    to: '',
    test: 'egress',
    title: 'S-21 a granted name',
  },
  {
    name: 'own-listener',
    file: 'src/proxy/egress/resolver.ts',
    from: "if (this.#options.ownPorts().includes(address.port) && this.#isLocal(address.ip)) refuse('own_listener');",
    to: '',
    test: 'egress',
    title: 'S-26 the proxy',
  },
  {
    name: 'both-framings',
    file: 'src/proxy/http1/framing.ts',
    from: "if (chunked && length !== null) throw new HeadError('both Content-Length and Transfer-Encoding');\n  if (chunked) return { kind: 'chunked' };\n  return length",
    to: "if (chunked) return { kind: 'chunked' };\n  return length",
    test: 'framing',
    title: 'S-33 length and chunked',
  },
  {
    name: 'key-upstream',
    file: 'src/proxy/outgoing.ts',
    from: '  HeaderKind.proxyAuthorization,\n',
    to: '',
    test: 'framing',
    title: 'S-41',
  },
  {
    name: 'alt-svc',
    file: 'src/proxy/outgoing.ts',
    from: '  HeaderKind.altSvc,\n',
    to: '',
    test: 'egress',
    title: 'S-31',
  },
  {
    name: 'path-doubt',
    file: 'src/policy/decide.ts',
    from: 'if (target.doubt !== null &&',
    to: 'if (target.doubt === undefined &&',
    test: 'path',
    title: 'S-51 /public/%2fsecret',
  },
  {
    name: 'upstream-verification',
    file: 'src/proxy/upstream/dial.ts',
    from: '      rejectUnauthorized: true,\n      checkServerIdentity',
    to: '      checkServerIdentity',
    test: 'local-trust',
    title: 'S-83 one that is self-signed',
  },
  {
    name: 'revoked-caller',
    file: 'src/proxy/admission.ts',
    from: 'if (!plane.vault.isCallerValid(identity))',
    to: 'if (false as boolean)',
    test: 'lifecycle',
    title: 'S-99 the next request in an open tunnel is refused once the key',
  },
  {
    name: 'unasked-101',
    file: 'src/proxy/upgrade.ts',
    from: 'accept === expected &&',
    to: 'accept !== undefined &&',
    test: 'websocket',
    title: 'S-111 a wrong accept',
  },
  {
    name: 'header-twins',
    file: 'src/injection/inject.ts',
    from: 'for (let i = indexOfTwin(out, place.folded, first + 2); i !== -1; i = indexOfTwin(out, place.folded, i)) out.splice(i, 2);',
    to: '',
    test: 'framing',
    title: 'S-39',
  },
  {
    name: 'zone-id',
    file: 'src/domain/ip-literal.ts',
    from: "text.includes('%') || ",
    to: '',
    test: 'hosts',
    title: 'S-10',
  },
  {
    name: 'spelled-addresses',
    file: 'src/domain/host.ts',
    from: 'if (endsInNumber(host)) {',
    to: "if (host === '') {",
    test: 'hosts',
    title: 'S-11',
  },
  {
    name: 'bound-user',
    file: 'src/proxy/caller.ts',
    from: 'if (identity.boundUid !== null && identity.boundUid !== peer.uid) {',
    to: 'if (false as boolean) {',
    test: 'local-trust',
    title: 'S-75 a key bound to a user is worthless',
  },
  {
    name: 'planted-link',
    file: 'src/crypto/private-file.ts',
    from: 'constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK',
    to: 'constants.O_RDONLY | constants.O_NONBLOCK',
    test: 'local-trust',
    title: 'S-85 the master key',
  },
  {
    name: 'own-ca',
    file: 'src/cli/agent-environment.ts',
    from: 'if (onDisk === ca.fingerprint_sha256) return;',
    to: "if (onDisk !== '') return;",
    test: 'local-trust',
    title: 'S-81',
  },
  {
    name: 'row-quoting',
    file: 'src/journal/entry-text.ts',
    from: 'NEEDS_ESCAPE.test(value) ? JSON.stringify(value).replace(NOT_ASCII, escapedUnit) : ',
    to: '',
    test: 'lifecycle',
    title: 'S-105',
  },
  {
    name: 'codings',
    file: 'src/proxy/answer-guard.ts',
    from: 'headers[i + 1] = rememberedCodings(value);',
    to: '',
    test: 'scrub',
    title: 'S-60 codings that',
  },
  {
    name: 'answers-under-way',
    file: 'src/proxy/exchange.ts',
    from: 'const seat = plane.live.add(underWay);',
    to: '',
    test: 'lifecycle',
    title: 'S-99',
  },
  {
    name: 'revocation-lists',
    file: 'src/proxy/upstream/dial.ts',
    from: ' ?? revocationOf(this.#options.revocations ?? null, cert)',
    to: '',
    test: 'local-trust',
    title: 'S-83 one that was revoked',
  },
  {
    name: 'sockets-after-reload',
    file: 'src/daemon.ts',
    from: 'plane.pools.renew();',
    to: '',
    test: 'local-trust',
    title: 'S-83 one that was revoked',
  },
  {
    name: 'ended-list',
    file: 'src/proxy/upstream/revocation.ts',
    from: "if (list.endsAt < now) return 'CRL_HAS_EXPIRED';",
    to: '',
    test: 'local-trust',
    title: 'S-83 a list that has ended',
  },
  {
    name: 'forged-list',
    file: 'src/proxy/upstream/revocation.ts',
    from: 'this.#lists.filter((list) => isSignedBy(list, key))',
    to: 'this.#lists.filter((list) => list !== null || isSignedBy(list, key))',
    test: 'local-trust',
    title: 'S-83 a list that somebody else',
  },
  {
    name: 'partial-list',
    file: 'src/proxy/upstream/revocation.ts',
    from: 'extension.take(BOOLEAN)[0] !== 0',
    to: 'extension.take(BOOLEAN)[0] === undefined',
    test: 'local-trust',
    title: 'S-83 a file without a list',
  },
  {
    name: 'older-vault',
    file: 'src/vault/continuity.ts',
    from: 'vaultEpoch < journalEpoch',
    to: 'vaultEpoch < 0',
    test: 'local-trust',
    title: 'S-86 a vault rolled back',
  },
  {
    name: 'journal-gone',
    file: 'src/vault/continuity.ts',
    from: 'if (vaultJournal !== journal)',
    to: "if (vaultJournal === '')",
    test: 'local-trust',
    title: 'S-86 a vault rolled back',
  },
  {
    name: 'core-dumps',
    file: 'src/cli/commands/start.ts',
    from: 'void refuseCoreDumps(log);',
    to: '',
    test: 'placeholders',
    title: 'S-71 core dumps',
  },
  {
    name: 'host-signature',
    file: 'src/crypto/request-signing.ts',
    from: 'return verify(null, Buffer.from(signingText(parts))',
    to: 'return true || verify(null, Buffer.from(signingText(parts))',
    test: 'integration/fleet/hosts',
    title: '',
  },
  {
    name: 'host-replay',
    file: 'src/fleet/host-authenticator.ts',
    from: 'nonces.use(host.id, nonce, timestamp)',
    to: 'nonces.use(host.id, nonce + Math.random(), timestamp)',
    test: 'integration/fleet/hosts',
    title: '',
  },
  {
    name: 'vault-pin',
    file: 'src/vault-client/pinning.ts',
    from: 'chain.find((certificate) => certificate.fingerprint256 === fingerprint)',
    to: 'chain.at(-1)',
    test: 'integration/fleet/hosts',
    title: 'another authority',
  },
  {
    name: 'vault-tls',
    file: 'src/vault-client/signed-client.ts',
    from: 'rejectUnauthorized: true',
    to: 'rejectUnauthorized: false',
    test: 'integration/fleet/hosts',
    title: 'another authority',
  },
  {
    name: 'lease-older-cache',
    file: 'src/vault-client/lease-cache.ts',
    from: 'if (mark === null || (opened.counter !== mark && opened.counter !== mark + 1))',
    to: 'if (mark === null && opened.counter < 0)',
    test: 'unit/vault-client/lease-cache',
    title: 'when it is an older copy',
  },
  {
    name: 'older-view',
    file: 'src/vault-client/remote-vault.ts',
    from: 'if (this.#isOutrun(epoch)) return Promise.resolve();',
    to: '',
    test: 'integration/fleet/older-views',
    title: 'a view that is older',
  },
  {
    name: 'stale-replica',
    file: 'src/fleet/fleet-server.ts',
    from: 'if (route.signed && !vault.isFresh)',
    to: 'if (route.signed && !vault)',
    test: 'integration/fleet/stale-replica',
    title: 'neither the view',
  },
  {
    name: 'lent-after-end',
    file: 'src/fleet/material-routes.ts',
    from: 'this.grantOf(current, grant.id);',
    to: '',
    test: 'integration/fleet/withheld',
    title: 'one that was revoked',
  },
  {
    name: 'unheard-database',
    file: 'src/vault/state.ts',
    from: 'if (this.isFresh) return;',
    to: 'return;',
    test: 'integration/vault/shared-database',
    title: 'who has not heard',
  },
  {
    name: 'database-went-back',
    file: 'src/vault/state.ts',
    from: 'next.epoch < before.epoch || ',
    to: '',
    test: 'integration/vault/shared-database',
    title: 'a database that went back',
  },
  {
    name: 'view-of-a-standby',
    file: 'src/store/postgres/connection.ts',
    from: '(asked === null && hosts > 1)',
    to: 'false',
    test: 'integration/vault/database-failover',
    title: 'the vault follows to the standby',
  },
  {
    name: 'host-history',
    file: 'src/fleet/host-audit.ts',
    from: 'if (kept.get(row.n) !== line) throw',
    to: 'if (kept.size < 0) throw',
    test: 'unit/fleet/host-audit',
    title: 'refuses another',
  },
  {
    name: 'unsent-rows',
    file: 'src/sinks/unsent-guard.ts',
    from: 'if (reason === null) return',
    to: "if (reason !== '') return",
    test: 'unit/sinks/unsent-guard',
    title: 'as many rows',
  },
  {
    name: 'quota-same-slice',
    file: 'src/policy/quota-account.ts',
    from: 'if (known !== undefined) return',
    to: 'if (known !== undefined && known[2] < 0) return',
    test: 'unit/policy/quota-account',
    title: 'failures first',
  },
  {
    name: 'quota-full-bucket',
    file: 'src/policy/quota-account.ts',
    from: 'return this.#spec.burst - this.#out;',
    to: 'return this.#spec.burst;',
    test: 'unit/policy/quota-account',
    title: 'a bucket does not run full',
  },
  {
    name: 'quota-older-policies',
    file: 'src/vault/quotas.ts',
    from: 'if (kept !== null && kept.policies > version)',
    to: 'if (kept !== null && version < 0)',
    test: 'unit/vault/quotas',
    title: 'a replica that does not know',
  },
  {
    name: 'quota-older-copy',
    file: 'src/vault/quotas.ts',
    from: 'const isOlder = past.seen > (row?.version ?? 0);',
    to: 'const isOlder = false;',
    test: 'unit/vault/quotas',
    title: 'an older copy',
  },
  {
    name: 'quota-of-others',
    file: 'src/fleet/quota-routes.ts',
    from: 'if (!host.agentIds.includes(agentId) || !views.of(host).view.grant.has(grantId))',
    to: 'if (host.agentIds.length < 0)',
    test: 'integration/fleet/quotas',
    title: 'a host that stops',
  },
  {
    name: 'quota-capability',
    file: 'src/vault/host-capabilities.ts',
    from: "if (isUnderSharedLimit(grant, policies.sources, agents)) needed.push('limits.fleet');",
    to: '',
    test: 'unit/vault/host-view',
    title: 'a host sees no grant under a limit',
  },
  {
    name: 'bodies-redacted',
    file: 'src/journal/body-record.ts',
    from: 'const { bytes, count } = redactBody(body.bytes, body.contentType, captured.placeholders);',
    to: 'const { bytes, count } = { bytes: body.bytes, count: 0 };',
    test: 'audit-bodies',
    title: 'S-116 nor are keys',
  },
  {
    name: 'bodies-behind-the-search',
    file: 'src/proxy/transfer.ts',
    from: 'this.#bytesIn += slice.length;\n',
    to: 'this.#bytesIn += slice.length;\n    this.#tap?.add(slice);\n',
    test: 'audit-bodies',
    title: 'S-116 the credential',
  },
  {
    name: 'bodies-sealed',
    file: 'src/journal/body-record.ts',
    from: 'return sealBytes(key, text, contextOf(requestId));',
    to: 'return Buffer.from(text);',
    test: 'audit-bodies',
    title: 'S-116 no file',
  },
  {
    name: 'bodies-in-the-chain',
    file: 'src/journal/verify.ts',
    from: 'if (bodies !== null) return bodies;',
    to: '',
    test: 'integration/journal/bodies',
    title: 'what is done to stored bodies shows',
  },
  {
    name: 'bodies-read-leave-a-row',
    file: 'src/api/audit-bodies.ts',
    from: 'await recordReading({ journal, operator }, { request_id: entry.request_id });',
    to: '',
    test: 'audit-bodies',
    title: 'S-116 whoever reads',
  },
  {
    name: 'retired-placeholder',
    file: 'src/vault/state.ts',
    from: 'retirementsOf(this.#rows, changes, this.now());',
    to: '[] as typeof changes;',
    test: 'retired-placeholders',
    title: 'S-109 the placeholder of a grant that was removed',
  },
  {
    name: 'unlisted-scripts',
    file: 'bin/setup.js',
    from: "'--package-lock', '--ignore-scripts'",
    to: "'--package-lock'",
    test: 'installer',
    title: 'S-88 the right bytes',
  },
  {
    name: 'unnamed-packages',
    file: 'bin/setup.js',
    from: "refuse(installedProblems(root), 'npm installed what package-lock.json does not name');",
    to: '',
    test: 'installer',
    title: 'S-88 what the lock file does not name',
  },
  {
    name: 'pinned-bytes',
    file: 'bin/pinned.js',
    from: "return SHA512.test(integrity ?? '') ? [] :",
    to: 'return SHA512 ? [] :',
    test: 'installer',
    title: 'S-88 a lock file with a package that has no hash',
  },
  {
    name: 'placeholder-alarm',
    file: 'src/proxy/exchange.ts',
    from: 'void plane.alarms.look(plane, route, progress, thrown, at);',
    to: '',
    test: 'retired-placeholders',
    title: 'S-109 the placeholder of a grant that was revoked',
  },
];

interface Result {
  readonly numFailedTests: number;
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly failureMessages: readonly string[] }[];
  }[];
}

/** What failed first, in one line. */
function whyOf(result: Result | null): string {
  const failed = result?.testResults.flatMap((file) => file.assertionResults).find((each) => each.failureMessages.length > 0);
  return failed === undefined ? '' : ` (${failed.title}: ${failed.failureMessages[0]?.split('\n')[0]})`;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

function run(cwd: string, { test, title }: Mutation): Promise<{ failed: boolean; ran: boolean; why: string }> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const escaped = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const child = spawn(
    process.execPath,
    [
      vitest,
      'run',
      `test/${test.includes('/') ? test : `security/${test}`}.test.ts`,
      '-t',
      escaped,
      '--reporter',
      'json',
      '--testTimeout',
      '120000',
      '--hookTimeout',
      '120000',
    ],
    {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let text = '';
  child.stdout.on('data', (chunk) => (text += String(chunk)));
  child.stderr.on('data', (chunk) => (text += String(chunk)));
  return new Promise((resolve) =>
    child.once('close', () => {
      const json = /\{"numTotalTestSuites".*\}/s.exec(text)?.[0];
      const result = json === undefined ? null : (JSON.parse(json) as Result);
      resolve({
        failed: (result?.numFailedTests ?? 0) > 0,
        ran: (result?.numPassedTests ?? 0) + (result?.numFailedTests ?? 0) > 0,
        why: whyOf(result),
      });
    }),
  );
}

const wanted = process.argv.slice(2);
const chosen = MUTATIONS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const unknown = wanted.filter((name) => !MUTATIONS.some((each) => each.name === name));
if (unknown.length > 0)
  throw new Error(`no such mutation: ${unknown.join(', ')}; there are ${MUTATIONS.map(({ name }) => name).join(', ')}`);

let survivors = 0;
for (const mutation of chosen) {
  const dir = mkdtempSync(join(tmpdir(), 'alterd-mutation-'));
  try {
    for (const each of ['bin', 'src', 'test', 'config', 'package.json', 'package-lock.json', 'tsconfig.json', 'vitest.config.ts'])
      cpSync(join(root, each), join(dir, each), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
    const file = join(dir, mutation.file);
    const text = readFileSync(file, 'utf8');
    const places = text.split(mutation.from).length - 1;
    let verdict: string;
    if (places !== 1)
      verdict = `SURVIVED: the defence is in ${mutation.file} ${places} times, not once: the mutation has to follow the code`;
    else {
      const before = await run(dir, mutation);
      if (!before.ran || before.failed) verdict = `UNDECIDED: the test does not pass on the unchanged code${before.why}`;
      else {
        writeFileSync(
          file,
          text.replace(mutation.from, () => mutation.to),
        );
        const after = await run(dir, mutation);
        verdict = after.failed
          ? 'noticed'
          : after.ran
            ? 'SURVIVED: the test passes without the defence'
            : 'noticed (nothing starts without it)';
      }
    }
    if (!verdict.startsWith('noticed')) survivors++;
    console.log(`${mutation.name.padEnd(22)} ${mutation.file.padEnd(34)} ${mutation.title.padEnd(40).slice(0, 40)} ${verdict}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
console.log(survivors === 0 ? `All ${chosen.length} were noticed.` : `${survivors} of ${chosen.length} were not noticed.`);
process.exitCode = survivors === 0 ? 0 : 1;
