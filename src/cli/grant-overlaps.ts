/** What a new grant stands beside, told before a request is refused for it. */
import type { OverlapView } from '../api/grants.ts';
import type { GrantView } from '../api/views.ts';
import type { Cli } from './cli.ts';

export function tellOverlaps({ output }: Cli, grant: GrantView, overlaps: readonly OverlapView[]): void {
  const owner = grant.principal === 'agent' ? (grant.agent ?? 'the agent') : `the ${grant.principal}`;
  for (const other of overlaps.filter(({ effect }) => effect === 'ambiguous'))
    output.warn(
      `${owner} has another grant for ${other.host}: ${nameOf(other)}. Methods and paths do not tell grants apart: a request that does not name one of them is refused (ambiguous_grant).`,
    );
  for (const other of overlaps.filter(({ effect }) => effect !== 'ambiguous'))
    output.note(
      other.effect === 'first'
        ? `For ${other.host} this grant goes before ${nameOf(other)}, which is used where this one is not active.`
        : `For ${other.host} ${nameOf(other)} goes before this grant.`,
    );
  const [first] = overlaps.filter(({ effect }) => effect === 'ambiguous');
  if (first === undefined) return;
  const label = grant.label === '' ? '' : `, \`Alter-Label: ${grant.label}\``;
  output.hint(
    `To name this one: \`alterd run --grant ${grant.id}\`, the header \`Alter-Grant-Id: ${grant.id}\`${label}, or its placeholder. To end the other: \`alterd grant revoke ${first.grant_id}\`.`,
  );
}

const nameOf = ({ grant_id, label, credential }: OverlapView): string => `${grant_id} (${label === '' ? credential : label})`;
