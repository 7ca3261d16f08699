/**
 * The vault's authority as the data plane uses it: compiled once per version, with the rules and the rendered injections of
 * each grant kept beside it. Rendered injections hold secrets and die with the version of the credential.
 */
import type { CredentialMaterial } from '../domain/credential.ts';
import type { Grant } from '../domain/grant.ts';
import type { VaultPort } from '../domain/vault-port.ts';
import { type CompiledInjection, compileInjections } from '../injection/compile.ts';
import { type CompiledGrantRules, compileGrantRules } from '../policy/decide.ts';
import { gitNeedOf } from '../policy/git-rule.ts';
import type { RequestTarget } from '../policy/path.ts';
import { type CompiledAuthority, compileAuthority } from '../policy/resolve.ts';
import { NeedleSet } from '../scrub/needle-set.ts';
import { needlesOf } from '../scrub/needles.ts';

/** What one version of a grant's credential becomes. */
interface Rendered {
  readonly version: number;
  readonly revision: number | undefined;
  readonly byHost: Map<string, CompiledInjection>;
  /** Of the requests of git, where these get the credential in another place. */
  readonly ofGit: Map<string, CompiledInjection> | null;
  /** Undefined until an answer is searched for it; null when no value is long enough. */
  needles: NeedleSet | null | undefined;
}

export class AuthorityView {
  compiled: CompiledAuthority;
  readonly #rules = new WeakMap<Grant, CompiledGrantRules>();
  readonly #injections = new WeakMap<Grant, Rendered>();
  readonly #stop: () => void;

  /** `onChange` runs after the new view is in force. */
  constructor(vault: VaultPort, onChange: () => void) {
    this.compiled = compileAuthority(vault.authority);
    this.#stop = vault.onAuthorityChange((authority) => {
      this.compiled = compileAuthority(authority, this.compiled);
      onChange();
    });
  }

  rulesOf(grant: Grant): CompiledGrantRules {
    let rules = this.#rules.get(grant);
    if (rules === undefined) {
      rules = compileGrantRules(grant);
      this.#rules.set(grant, rules);
    }
    return rules;
  }

  /** SECURITY: the key holds grant, credential version and host, so that no value can be rendered for another host (S-17). */
  injectionOf(
    grant: Grant,
    material: CredentialMaterial,
    host: string,
    method: string,
    target: RequestTarget,
  ): CompiledInjection {
    const entry = this.#renderedOf(grant, material);
    const isGit = entry.ofGit !== null && gitNeedOf(method, target) !== null;
    const kept = isGit ? (entry.ofGit as Rendered['byHost']) : entry.byHost;
    let compiled = kept.get(host);
    if (compiled === undefined) {
      compiled = compileInjections(grant.injections, material, host, grant.id, isGit);
      if (kept.size >= 256) kept.clear();
      kept.set(host, compiled);
    }
    return compiled;
  }

  /** What must not be in an answer under this grant; null when no value of the credential is long enough to be told from chance. */
  needlesOf(grant: Grant, material: CredentialMaterial): NeedleSet | null {
    const entry = this.#renderedOf(grant, material);
    if (entry.needles === undefined) {
      const secrets = [...material.fields].filter(([name]) => material.publicFields?.has(name) !== true);
      const needles = needlesOf(secrets.map(([, value]) => value));
      entry.needles = needles.length === 0 ? null : new NeedleSet(needles);
    }
    return entry.needles;
  }

  #renderedOf(grant: Grant, material: CredentialMaterial): Rendered {
    let entry = this.#injections.get(grant);
    if (entry === undefined || entry.version !== material.version || entry.revision !== material.revision) {
      const { version, revision } = material;
      const differs = grant.injections.some((each) => 'requests' in each && each.requests !== undefined);
      entry = { version, revision, byHost: new Map(), ofGit: differs ? new Map() : null, needles: undefined };
      this.#injections.set(grant, entry);
    }
    return entry;
  }

  close(): void {
    this.#stop();
  }
}
