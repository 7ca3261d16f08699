/**
 * Which operations of an API that is all one POST a grant allows: GraphQL by kind and root field, JSON-RPC (MCP among them) by
 * method and tool. A rule only restricts; what it can't read is refused.
 */

export interface OperationRule {
  readonly kind: 'graphql' | 'json_rpc';
  /** Globs of paths that it rules, in every reading of the path; null: every request of the grant. */
  readonly at: readonly string[] | null;
  /**
   * GraphQL: `query`, `mutation:createIssue`. JSON-RPC: `tools/list`, `tools/call:search`, `eth_*`. `*` only at the end, for any rest.
   * Never empty.
   */
  readonly allow: readonly string[];
}
