/**
 * Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/. The numbers are counted elsewhere; a library for metrics
 * would show only what it has counted itself.
 */
import type {HistogramCounts} from '../core/histogram.ts';

export type Labels = Readonly<Record<string, string>>;

/** One with labels without a value is left out. */
export interface Sample {
  readonly labels?: Labels;
  readonly value: number | null | undefined;
}

export interface Metric {
  readonly kind: 'counter' | 'gauge';
  readonly name: string;
  /** A sentence. */
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface HistogramMetric {
  readonly kind: 'histogram';
  readonly name: string;
  readonly help: string;
  readonly bounds: readonly number[];
  readonly series: readonly {readonly labels?: Labels; readonly counted: HistogramCounts}[];
}

/** A metric without samples is left out. */
export function prometheusText(metrics: readonly (Metric | HistogramMetric)[]): string {
  const lines: string[] = [];
  for (const metric of metrics) {
    const samples = metric.kind === 'histogram' ? histogramLines(metric) : plainLines(metric);
    if (samples.length > 0) lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.kind}`, ...samples);
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function plainLines({name, samples}: Metric): string[] {
  return samples.flatMap(({labels, value}) => (value === null || value === undefined ? [] : [`${name}${labelText(labels)} ${value}`]));
}

function histogramLines({name, bounds, series}: HistogramMetric): string[] {
  return series.flatMap(({labels, counted: {counts, sum}}) => {
    let total = 0;
    const buckets = [...bounds, '+Inf'].map((le, at) => {
      total += counts[at] ?? 0;
      return `${name}_bucket${labelText({...labels, le: String(le)})} ${total}`;
    });
    return [...buckets, `${name}_sum${labelText(labels)} ${sum}`, `${name}_count${labelText(labels)} ${total}`];
  });
}

function labelText(labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
