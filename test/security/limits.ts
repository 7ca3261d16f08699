/**
 * How far each guarantee holds, as far as tests alone don't show it: `gap` says what is missing where a test is expected to fail, `open` why there
 * is no test at all. The texts of the guarantees are the product's own (src/selftest/guarantees.ts).
 */

export interface Limit {
  /** What is not defended, for a guarantee with an expected failure. */
  readonly gap?: string;
  /** What has to come first, for a guarantee without a test. */
  readonly open?: string;
}

export const LIMITS: Readonly<Record<string, Limit>> = {
  'S-32': {
    gap: 'the daemon does not enforce it: variables are routing. In the namespace of `systemd/lockdown.md`, which these tests run, a way around fails at once; it is not recorded',
  },
  'S-71': {
    gap: 'a program of the same user can still read the memory: Node can not make itself undumpable. Run the daemon as a user of its own',
  },
  'S-86': { gap: 'vault and journal rolled back together are not noticed: an installation of its own has no counter elsewhere' },
  'S-114': { gap: 'there are no rules about frames' },
};
