/** Metric families as plain data, and their text form by prom-client (Prometheus text format 0.0.4). */
import type { Registry } from 'prom-client';
import { BUCKETS, type Latencies } from '../rpc/latency.ts';

/** One reading with its labels; undefined = it could not be read, and is left out instead of shown as 0. */
export type Sample = readonly [value: number | undefined, labels?: Readonly<Record<string, string>>];

export type Family =
  | {
      readonly name: string;
      readonly help: string;
      readonly type: 'gauge' | 'counter';
      readonly samples: readonly Sample[];
    }
  | {
      readonly name: string;
      readonly help: string;
      readonly type: 'histogram';
      readonly labels: readonly string[];
      readonly latencies: Latencies;
    };

export const gauge = (name: string, help: string, ...samples: readonly Sample[]): Family => ({
  name,
  help,
  type: 'gauge',
  samples,
});

export const counter = (name: string, help: string, ...samples: readonly Sample[]): Family => ({
  name,
  help,
  type: 'counter',
  samples,
});

/** A gauge that is always 1 and tells its labels. */
export const infoMetric = (name: string, help: string, labels: Readonly<Record<string, string>>): Family =>
  gauge(name, help, [1, labels]);

export const histogram = (name: string, help: string, labels: readonly string[], latencies: Latencies): Family => ({
  name,
  help,
  type: 'histogram',
  labels,
  latencies,
});

interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

function lines(family: Family): Line[] {
  if (family.type !== 'histogram') {
    return family.samples.flatMap(([value, labels = {}]) =>
      value === undefined || !Number.isFinite(value) ? [] : [{ metricName: family.name, labels, value }],
    );
  }
  return family.latencies.series().flatMap(({ labels: values, counts, sum }) => {
    const labels = Object.fromEntries(family.labels.map((label, index) => [label, values[index] ?? '']));
    let count = 0;
    const buckets = counts.map((value, index) => {
      count += value;
      return { metricName: `${family.name}_bucket`, labels: { ...labels, le: BUCKETS[index] ?? '+Inf' }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${family.name}_sum`, labels, value: sum },
      { metricName: `${family.name}_count`, labels, value: count },
    ];
  });
}

/** The text of all families that have readings. */
export async function format(families: readonly Family[]): Promise<{ contentType: string; text: string }> {
  const { Registry } = await import('prom-client');
  const registry = new Registry();
  for (const family of families) {
    const values = lines(family);
    if (values.length === 0) continue;
    const { name, help, type } = family;
    // prom-client's own classes count; here the counting is done already, so the registry gets what it would get of them
    const metric = { name, help, type, get: async () => ({ name, help, type, values, aggregator: 'sum' }) };
    registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}
