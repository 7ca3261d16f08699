/** A throw-away certificate authority for origins: the product's own CA code, with a key sealer that seals nothing. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecureContext } from 'node:tls';
import { initAuthority, type LocalCa } from '../../src/ca/authority.ts';
import { LeafIssuer } from '../../src/ca/leaf.ts';

const openSealer = { seal: (plain: Uint8Array) => Buffer.from(plain), open: (sealed: Uint8Array) => Buffer.from(sealed) };

export interface TestPki {
  readonly ca: LocalCa;
  readonly caFile: string;
  readonly dir: string;
  contextFor(host: string): SecureContext;
}

export function makePki(): TestPki {
  const dir = mkdtempSync(join(tmpdir(), 'alterd-pki-'));
  const ca = initAuthority(join(dir, 'ca'), { sealKey: openSealer });
  const issuer = new LeafIssuer(ca);
  return {
    ca,
    caFile: join(dir, 'ca', 'ca.crt'),
    dir,
    contextFor: (host) => issuer.contextFor(host, host.includes(':') ? 6 : /^[\d.]+$/.test(host) ? 4 : 0),
  };
}
