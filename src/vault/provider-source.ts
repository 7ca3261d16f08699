/** What the vault asks of the provider catalogue; structural, so that it does not matter where providers are loaded from. */
import type { ProviderSpec } from '../config/provider.ts';

export interface ProviderSource {
  /** By slug or alias. */
  find(slug: string): ProviderSpec | undefined;
}
