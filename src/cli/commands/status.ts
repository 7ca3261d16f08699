/** `alterd status`: where the daemon listens, what it holds, whether it is well. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { NoticeView, SinkView, StatusView, VaultLinkView } from '../../api/status.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

export function defineStatus(command: Command, cli: Cli): void {
  example(command, 'alterd status --output json').action(async () => {
    const status = await cli.client().read<StatusView>(apiPath('status'));
    cli.output.record(status, [
      ['version', status.version],
      ['pid', status.pid],
      ['up for', durationText(status.uptime_ms)],
      ...(status.serves_at === null ? listeners(status) : [['serves hosts at', status.serves_at] as const]),
      ['state', status.state_dir],
      ['configuration', status.config_dir],
      ...(status.vault === null ? [] : [['vault', vaultText(status.vault)] as [string, string]]),
      ['agents', status.agents],
      ['secrets', status.secrets],
      ['grants', status.grants],
      ['sessions', status.sessions],
      ['open tunnels', status.tunnels],
      ['requests', `${status.requests.ended} since the start, ${status.requests.denied} denied`],
      ['metrics', status.metrics === null ? null : `http://${status.metrics}/metrics`],
      [
        'audit',
        status.audit.healthy ? `healthy, ${status.audit.rows} entries` : `NOT HEALTHY: ${status.audit.error ?? 'unknown'}`,
      ],
      ...status.sinks.map((sink): [string, string] => [`audit sink ${sink.name}`, sinkText(sink)]),
      ...status.notices.map((notice): [string, string] => [`approval notices ${notice.name}`, noticeText(notice)]),
      ['memory', `${Math.round(status.memory_rss_bytes / 1_048_576)} MiB`],
    ]);
    if (!status.audit.healthy) cli.output.warn('the audit journal is not healthy: requests are refused until it is');
    else if (status.vault !== null && status.vault.state !== 'streaming')
      cli.output.warn(`the vault at ${status.vault.url}: ${status.vault.reason ?? status.vault.state}`);
    else if (status.serves_at !== null) cli.output.hint('Its hosts: `alterd vault host list`; how it is: `alterd vault doctor`.');
    else if (status.vault === null && status.agents === 0)
      cli.output.hint('Next: `alterd secret add github --token-stdin`, then `alterd agent create NAME`.');
  });
}

const listeners = ({ proxy, ca_file, bundle_file }: StatusView): (readonly [string, string | null])[] => [
  ['proxy', proxy.tcp === null ? null : `http://${proxy.tcp}`],
  ['proxy socket', proxy.unix],
  ['CA', ca_file],
  ['CA bundle', bundle_file],
];

const LINK_WORDS = {
  streaming: 'in touch, changes come at once',
  polling: 'in touch, but WITHOUT ITS STREAM of changes: asked every second',
  away: 'DOES NOT ANSWER',
  ended: 'ENDED what this host may use',
} as const;

function vaultText({ url, state, since, lease_left_ms, held }: VaultLinkView): string {
  const lease = lease_left_ms === 0 ? 'no lease' : `leases serve for ${durationText(lease_left_ms)} more`;
  return `${url}, ${LINK_WORDS[state]} since ${since}; ${lease}, ${held} ${held === 1 ? 'secret is' : 'secrets are'} lent`;
}

function sinkText({ kind, lag, failures, error, skipped }: SinkView): string {
  const lost = skipped === 0 ? '' : `, ${skipped} entries were removed before they could be sent`;
  if (failures > 0)
    return `${kind}, NOT DELIVERING (attempts: ${failures}), entries that wait: ${lag}${lost}: ${error ?? 'unknown'}`;
  return `${kind}, ${lag === 0 ? 'up to date' : `${lag} entries behind`}${error === null ? '' : `; ${error}`}${lost}`;
}

function noticeText({ host, queued, delivered, failed, error }: NoticeView): string {
  const counts = `${delivered} delivered${failed === 0 ? '' : `, ${failed} lost`}${queued === 0 ? '' : `, ${queued} wait`}`;
  return `${host}, ${error === null ? counts : `NOT DELIVERING: ${error}; ${counts}`}`;
}

function durationText(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${Math.floor(ms / 1_000)}s`;
  if (minutes < 60) return `${minutes}m`;
  return minutes < 1_440
    ? `${Math.floor(minutes / 60)}h ${minutes % 60}m`
    : `${Math.floor(minutes / 1_440)}d ${Math.floor((minutes % 1_440) / 60)}h`;
}
