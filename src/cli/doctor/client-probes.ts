/**
 * One real request from each kind of client that this machine has, through the proxy, to the name that the daemon answers
 * itself. It proves proxy variables, key and trust at once, and needs no account and no internet.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ended, runToEnd } from './command.ts';
import { type Finding, failed, ok, skipped } from './finding.ts';

const URL_ = 'https://alterd.internal/whoami';
const PROBE_WAIT_MS = 20_000;
/** What a probe answers when the library it is about is not installed. */
const ABSENT = 77;
const AT_ONCE = 3;

interface Probe {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Sources that the arguments name, written beside each other. */
  readonly sources?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** When another answer than the agent's name proves the same. */
  readonly proves?: (ended: Ended) => boolean;
  /** What to know although it works. */
  readonly note?: string;
  /** Mends a client that went round the proxy. */
  readonly proxyFix: string;
  /** Mends a client that does not trust the CA. */
  readonly trustFix: string;
}

const python = (name: string, body: string): Probe => ({
  name: `python ${name}`,
  file: 'python3',
  args: ['-c', `import sys\ntry:\n  ${body.replaceAll('\n', '\n  ')}\nexcept ImportError:\n  sys.exit(${ABSENT})`],
  proxyFix: 'Let the program read proxy variables (trust_env=True where it has to be said).',
  trustFix:
    name === 'requests'
      ? 'REQUESTS_CA_BUNDLE must name the CA bundle.'
      : 'SSL_CERT_FILE must name the CA bundle, and SSL_CERT_DIR be unset.',
});

const node = (name: string, source: string): Probe => ({
  name: `node ${name}`,
  file: 'node',
  args: ['-e', source],
  proxyFix: 'Node before 22.21 needs the preload in NODE_OPTIONS; does the program reset NODE_OPTIONS?',
  trustFix: 'NODE_EXTRA_CA_CERTS must name the CA certificate.',
});

const JAVA = `import java.net.*; import java.nio.charset.StandardCharsets;
public class Probe {
  public static void main(String[] args) throws Exception {
    String[] user = new URI(System.getenv("HTTPS_PROXY")).getRawUserInfo().split(":", 2);
    Authenticator.setDefault(new Authenticator() {
      protected PasswordAuthentication getPasswordAuthentication() { return new PasswordAuthentication(user[0], user[1].toCharArray()); }
    });
    System.out.print(new String(new URL("${URL_}").openStream().readAllBytes(), StandardCharsets.UTF_8));
  }
}
`;

const PROBES: readonly Probe[] = [
  {
    name: 'curl',
    file: 'curl',
    args: ['-sS', '--max-time', '15', URL_],
    proxyFix: 'HTTPS_PROXY is not read: is there a proxy line in ~/.curlrc?',
    trustFix: 'CURL_CA_BUNDLE must name the CA bundle.',
  },
  {
    name: 'wget',
    file: 'wget',
    args: ['-q', '-O', '-', '--tries=1', '--timeout=15', URL_],
    proxyFix: 'wget reads the lower-case https_proxy; is use_proxy off in ~/.wgetrc?',
    trustFix: 'You have a wgetrc of your own: add ca_certificate = BUNDLE to it (`alterd ca show` names the bundle).',
  },
  {
    name: 'git',
    file: 'git',
    args: ['ls-remote', 'https://alterd.internal/doctor.git'],
    env: { GIT_TERMINAL_PROMPT: '0' },
    // The daemon answers this path 403: git got that far only through the proxy and over TLS that it trusts.
    proves: (ended) => /\b403\b/.test(ended.stderr) && !/CONNECT tunnel/.test(ended.stderr),
    proxyFix: 'Is http.proxy set in a git configuration? It wins over the variables.',
    trustFix: 'GIT_SSL_CAINFO must name the CA bundle; is http.sslCAInfo set in a git configuration?',
  },
  python('urllib', `import urllib.request\nsys.stdout.write(urllib.request.urlopen("${URL_}", timeout=15).read().decode())`),
  python('requests', `import requests\nsys.stdout.write(requests.get("${URL_}", timeout=15).text)`),
  python('httpx', `import httpx\nsys.stdout.write(httpx.get("${URL_}", timeout=15).text)`),
  node('fetch', `fetch('${URL_}').then((r) => r.text()).then((t) => process.stdout.write(t))`),
  node('https', `require('https').get('${URL_}', (r) => r.pipe(process.stdout))`),
  {
    name: 'deno',
    file: 'deno',
    args: ['eval', `console.log(await (await fetch('${URL_}')).text())`],
    proxyFix: 'HTTPS_PROXY must be set.',
    trustFix: 'DENO_CERT must name the CA certificate.',
  },
  {
    name: 'bun fetch',
    file: 'bun',
    args: ['-e', `console.log(await (await fetch('${URL_}')).text())`],
    proxyFix: "Bun's node:https ignores proxies; use fetch.",
    trustFix: 'NODE_EXTRA_CA_CERTS must name the CA certificate.',
  },
  {
    name: 'java',
    file: 'java',
    args: ['Probe.java'],
    sources: { 'Probe.java': JAVA },
    timeoutMs: 60_000,
    note: 'a JVM sends no proxy credentials by itself: the program needs an Authenticator',
    proxyFix: 'JAVA_TOOL_OPTIONS must name the proxy.',
    trustFix: 'Java needs a truststore: is keytool installed?',
  },
  {
    name: 'ruby',
    file: 'ruby',
    args: ['-rnet/http', '-e', `print Net::HTTP.get(URI("${URL_}"))`],
    proxyFix: 'Net::HTTP skips the proxy for names that resolve to loopback.',
    trustFix: 'SSL_CERT_FILE must name the CA bundle.',
  },
  {
    name: 'php curl',
    file: 'php',
    args: [
      '-r',
      `if (!function_exists("curl_init")) exit(${ABSENT}); $c = curl_init("${URL_}"); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); $t = curl_exec($c); if ($t === false) { fwrite(STDERR, curl_error($c)); exit(1); } echo $t;`,
    ],
    proxyFix: 'PHP streams ignore proxy variables; use curl.',
    trustFix: 'Set curl.cainfo and openssl.cafile in php.ini to the CA bundle.',
  },
  {
    name: 'perl LWP',
    file: 'perl',
    args: [
      '-e',
      `eval { require LWP::UserAgent; require LWP::Protocol::https; 1 } or exit ${ABSENT}; my $r = LWP::UserAgent->new(timeout => 15)->get("${URL_}"); $r->is_success or do { print STDERR $r->status_line; exit 1 }; print $r->decoded_content;`,
    ],
    proxyFix: 'PERL_LWP_ENV_PROXY=1 must be set.',
    trustFix: 'PERL_LWP_SSL_CA_FILE must name the CA bundle.',
  },
];

/** Everything that was found of the clients here; those that are not installed are left out, but named in one line. */
export async function probeClients(agent: string, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const dir = mkdtempSync(join(tmpdir(), 'alterd-doctor-'));
  try {
    const findings = new Map<Probe, Finding | null>();
    const waiting = [...PROBES];
    const worker = async (): Promise<void> => {
      for (let probe = waiting.shift(); probe !== undefined; probe = waiting.shift())
        findings.set(probe, await tryOut(probe, agent, env, dir));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const present = PROBES.flatMap((probe) => findings.get(probe) ?? []);
    const absent = PROBES.filter((probe) => findings.get(probe) === null).map((probe) => probe.name);
    return absent.length === 0 ? present : [...present, skipped('other clients', `not installed: ${absent.join(', ')}`)];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function tryOut(probe: Probe, agent: string, env: NodeJS.ProcessEnv, dir: string): Promise<Finding | null> {
  for (const [name, text] of Object.entries(probe.sources ?? {})) writeFileSync(join(dir, name), text, { mode: 0o600 });
  const ended = await runToEnd(probe.file, probe.args, {
    env: { ...env, ...probe.env },
    timeoutMs: probe.timeoutMs ?? PROBE_WAIT_MS,
    cwd: dir,
  });
  // 127: a shim of a version manager stands there, but no such program behind it.
  if (ended.isMissing || ended.code === ABSENT || ended.code === 127) return null;
  return judge(probe, ended, agent);
}

function judge(probe: Probe, ended: Ended, agent: string): Finding {
  if (probe.proves?.(ended) === true || isAnswer(ended.stdout, agent))
    return ok(probe.name, probe.note ?? 'through the proxy, trusted');
  if (ended.isLate) return failed(probe.name, 'no answer in time', probe.proxyFix);
  const said = `${ended.stderr}\n${ended.stdout}`;
  const reason = reasonOf(said);
  if (/\b407\b|proxy auth/i.test(said))
    return failed(
      probe.name,
      reason,
      'The proxy got no key: does something take the user name and password out of the proxy URL?',
    );
  if (/certificate|\bSSL\b|\bTLS\b|PKIX|CERT_|self.signed|unknown authority|UnknownIssuer/i.test(said))
    return failed(probe.name, reason, probe.trustFix);
  return failed(probe.name, reason, probe.proxyFix);
}

function isAnswer(stdout: string, agent: string): boolean {
  try {
    return (JSON.parse(stdout) as { agent?: unknown }).agent === agent;
  } catch {
    return false;
  }
}

/** The line of a failure that says most: the one with "error" in it, else the last. SECURITY: proxy URLs in it lose their key. */
function reasonOf(said: string): string {
  const lines = said
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('Picked up JAVA_TOOL_OPTIONS'));
  const line = lines.find((each) => /error|exception|fatal|failed|unable/i.test(each)) ?? lines.at(-1) ?? 'no answer';
  return line
    .replace(/\/\/[^/@\s]*@/g, '//')
    .replace(/alter_key_\w+/g, 'alter_key_…')
    .slice(0, 160);
}
