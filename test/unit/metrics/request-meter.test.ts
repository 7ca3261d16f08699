import { describe, expect, test } from 'vitest';
import { Counters } from '../../../src/metrics/families.ts';
import { ProcessMeter } from '../../../src/metrics/process-meter.ts';
import { RequestMeter } from '../../../src/metrics/request-meter.ts';
import { scrapeText } from '../../../src/metrics/scrape.ts';
import { closing, opening } from '../../integration/journal/samples.ts';

const ROOMS = {
  tunnels: 1,
  agentSockets: 2,
  underWay: 3,
  pools: 4,
  upstreamSockets: 5,
  audit: { rows: 6, open: 7, healthy: true, backlogSegments: 8 },
  sinks: [{ name: 'siem', kind: 'syslog', n: 1, lag: 9, delivered: 10, failures: 0, error: null, deliveredAt: null, skipped: 0 }],
};

/** Reads the text format 0.0.4 strictly: a line that is none, a sample without a type, or a sample twice throws. */
function parseScrape(text: string): Map<string, number> {
  expect(text.endsWith('\n')).toBe(true);
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of text.slice(0, -1).split('\n')) {
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) types.set(type[1] as string, type[2] as string);
    if (line.startsWith('# ')) continue;
    const sample = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (NaN|[+-]?[\d.]+(?:e[+-]?\d+)?)$/.exec(line);
    if (sample === null) throw new Error(`no sample: ${line}`);
    const [, name = '', labels = '', value] = sample;
    if (!types.has(name) && types.get(name.replace(/_(bucket|sum|count)$/, '')) !== 'histogram')
      throw new Error(`no type: ${line}`);
    if (samples.has(name + labels)) throw new Error(`twice: ${line}`);
    samples.set(name + labels, Number(value));
  }
  return samples;
}

const scrape = (meter: RequestMeter): Map<string, number> => parseScrape(scrapeText(meter, new ProcessMeter(0), ROOMS));

describe('request counters', () => {
  test('count what ended by provider, decision and class of the status', () => {
    const meter = new RequestMeter();
    for (let i = 0; i < 3; i += 1) meter.observe(opening(), closing({ latency_ms: 30, scrubbed: 2 }));
    meter.observe(
      opening({ decision: 'deny', error: 'policy_violation' }),
      closing({ status: 403, outcome: 'refused', error: 'policy_violation' }),
    );
    meter.observe(opening({ provider_id: null, kind: 'tunnel' }), closing({ latency_ms: 1e6 }));
    meter.observe(opening({ kind: 'event', action: 'agent.created' }), closing());
    const found = scrape(meter);
    expect(found.get('alterd_requests_total{provider="github",decision="allow",status="2xx"}')).toBe(3);
    expect(found.get('alterd_requests_total{provider="github",decision="deny",status="4xx"}')).toBe(1);
    expect(found.get('alterd_requests_total{provider="none",decision="allow",status="2xx"}')).toBe(1);
    expect(found.get('alterd_refusals_total{code="policy_violation"}')).toBe(1);
    expect(found.get('alterd_scrubbed_total')).toBe(6);
    expect(found.get('alterd_events_total')).toBe(1);
    expect(found.get('alterd_request_duration_seconds_bucket{le="0.025"}')).toBe(1);
    expect(found.get('alterd_request_duration_seconds_bucket{le="0.05"}')).toBe(4);
    expect(found.get('alterd_request_duration_seconds_count')).toBe(4);
    expect(found.get('alterd_audit_sink_lag_rows{sink="siem"}')).toBe(9);
    expect([meter.ended, meter.denied]).toEqual([5, 1]);
  });

  test('stay bounded whatever comes: providers and codes beyond the limit are counted as other, and no sum is lost', () => {
    const meter = new RequestMeter();
    for (let i = 0; i < 5000; i += 1)
      meter.observe(opening({ provider_id: `p"${i}\n\\` }), closing({ status: i, error: `e${i}` }));
    const found = scrape(meter);
    const requests = [...found].filter(([name]) => name.startsWith('alterd_requests_total'));
    expect(requests.length).toBeLessThanOrEqual(1200);
    expect(requests.reduce((sum, [, value]) => sum + value, 0)).toBe(5000);
    expect([...found].filter(([name]) => name.startsWith('alterd_refusals_total'))).toEqual([
      ['alterd_refusals_total{code="other"}', 5000],
    ]);
  });

  test('a family keeps its limit by itself', () => {
    const family = new Counters('x_total', 'X.', ['a'], 3);
    for (const name of ['a', 'b', 'c', 'd', 'a']) family.add(name, [name]);
    const out: string[] = [];
    family.write(out);
    expect(out.slice(2)).toEqual(['x_total{a="a"} 2', 'x_total{a="b"} 1', 'x_total{a="other"} 2']);
  });

  test('name no host, agent or path', () => {
    const meter = new RequestMeter();
    meter.observe(opening({ host: 'secret.host.test', agent: 'secret-agent', path: '/secret' }), closing());
    expect(scrapeText(meter, new ProcessMeter(0), ROOMS)).not.toContain('secret');
  });
});
