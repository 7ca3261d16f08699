/** Targets that are small Node programs of this benchmark, and packages that are measured only where they are installed. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { peerAuthority } from '../keys.ts';
import { TOKEN } from '../names.ts';
import { freePort, launch, type Target, throughConnect } from './target.ts';

const require = createRequire(import.meta.url);
const programs = fileURLToPath(new URL('../programs/', import.meta.url));

function absentPackage(name: string): string | null {
  try {
    require.resolve(name);
    return null;
  } catch {
    return `the package ${name} is not installed`;
  }
}

export const direct: Target = {
  name: 'direct',
  note: 'no proxy',
  injects: false,
  oneCertificate: true,
  absent: () => null,
  prepare: async ({ keysDir, originPort }) => ({
    launch: async () => ({
      via: { mode: 'direct', port: originPort, authorization: null },
      caFile: join(keysDir, 'origin-ca.crt'),
      pid: null,
      startMs: 0,
      stop: async () => {},
    }),
  }),
};

interface NodeProgram {
  readonly name: string;
  readonly note: string;
  readonly injects: boolean;
  readonly package: string | null;
  readonly program: string;
  /** Which CA its certificates come from. */
  readonly ca: 'origin' | 'own' | 'peer';
}

function nodeTarget(program: NodeProgram): Target {
  return {
    name: program.name,
    note: program.note,
    injects: program.injects,
    oneCertificate: !program.injects,
    absent: () => (program.package === null ? null : absentPackage(program.package)),
    prepare: async ({ keysDir, originPort }, dir) => ({
      launch: async () => {
        const port = await freePort();
        const peer = program.ca === 'peer' ? peerAuthority(keysDir) : null;
        const originCa = join(keysDir, 'origin-ca.crt');
        const process_ = await launch([process.execPath, join(programs, program.program)], port, dir, {
          BENCH_PORT: String(port),
          BENCH_ORIGIN_PORT: String(originPort),
          BENCH_ORIGIN_CA: originCa,
          BENCH_DIR: dir,
          BENCH_TOKEN: TOKEN,
          ...(peer === null ? {} : { BENCH_CA: peer.certificate, BENCH_CA_KEY: peer.key, NODE_EXTRA_CA_CERTS: originCa }),
        });
        const own = join(dir, 'ca', program.name === 'http-mitm-proxy' ? join('certs', 'ca.pem') : 'ca.crt');
        const caFile = program.ca === 'origin' ? originCa : (peer?.certificate ?? own);
        return { ...process_, via: throughConnect(port), caFile };
      },
    }),
  };
}

export const blindNode = nodeTarget({
  name: 'blind-node',
  note: 'CONNECT tunnel in Node that looks at nothing',
  injects: false,
  package: null,
  program: 'blind-tunnel.mjs',
  ca: 'origin',
});

export const httpProxy = nodeTarget({
  name: 'http-proxy',
  note: 'http-proxy 1.18.1 behind CONNECT and TLS with our leaves',
  injects: true,
  package: 'http-proxy',
  program: 'http-proxy.mjs',
  ca: 'own',
});

export const httpMitmProxy = nodeTarget({
  name: 'http-mitm-proxy',
  note: 'http-mitm-proxy',
  injects: true,
  package: 'http-mitm-proxy',
  program: 'http-mitm-proxy.mjs',
  ca: 'own',
});

export const mockttp = nodeTarget({
  name: 'mockttp',
  note: 'mockttp',
  injects: true,
  package: 'mockttp',
  program: 'mockttp.mjs',
  ca: 'peer',
});
