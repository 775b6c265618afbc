/** From values to places on a line, and which values are written beside it. */

export type ScaleKind = 'linear' | 'log2' | 'log10';

export interface Scale {
  /** From the value to pixels. */
  readonly place: (value: number) => number;
  /** Values with a line and a label. */
  readonly ticks: readonly number[];
  /** Values with a line only. */
  readonly minorTicks: readonly number[];
}

/** More would touch each other. */
const labelsMax = 10;

/** @param pixels where the first and the last value lie; values of a log scale are above 0 */
export function scale(kind: ScaleKind, values: readonly number[], pixels: readonly [number, number]): Scale {
  const low = values.length === 0 ? 1 : Math.min(...values);
  const high = values.length === 0 ? 2 : Math.max(...values);
  const [from, to] = range(kind, low, high);
  const measure = kind === 'linear' ? (value: number): number => value : Math.log;
  const place = (value: number): number => pixels[0] + ((measure(value) - measure(from)) / (measure(to) - measure(from))) * (pixels[1] - pixels[0]);
  return {place, ...ticks(kind, from, to, values)};
}

/** The ends of the axis: for decades, the half-decades around all values. */
function range(kind: ScaleKind, low: number, high: number): [number, number] {
  if (kind === 'log10') {
    const steps = decadeSteps(low / 10, high * 10);
    return [steps.findLast((step) => step <= low) ?? low, steps.find((step) => step >= high * 1.02) ?? high];
  }
  return low === high ? [low, kind === 'log2' ? low * 2 : low + 1] : [low, high];
}

/** 1, 2, 5, 10, 20, 50 ... */
function decadeSteps(low: number, high: number): number[] {
  const steps: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) steps.push(...[1, 2, 5].map((digit) => digit * 10 ** power));
  return steps;
}

/** Multiples of 1, 2, 5, 10 ... */
function roundSteps(from: number, to: number): number[] {
  const step = decadeSteps((to - from) / labelsMax, to - from).find((candidate) => (to - from) / candidate <= labelsMax) ?? to - from;
  const first = Math.ceil(from / step);
  return Array.from({length: Math.floor(to / step) - first + 1}, (_, at) => (first + at) * step);
}

function ticks(kind: ScaleKind, from: number, to: number, values: readonly number[]): Pick<Scale, 'ticks' | 'minorTicks'> {
  const inside = (value: number): boolean => value >= from * 0.999 && value <= to * 1.001;
  if (kind === 'linear') {
    const distinct = [...new Set(values)].toSorted((a, b) => a - b);
    return {ticks: distinct.length > labelsMax ? roundSteps(from, to) : distinct, minorTicks: []};
  }
  if (kind === 'log10') {
    const minorTicks = Array.from({length: 9}, (_, digit) => digit + 1).flatMap((digit) =>
      decadeSteps(from, to)
        .filter((step) => Number.isInteger(Math.log10(step)))
        .map((decade) => digit * decade),
    );
    return {ticks: decadeSteps(from, to).filter(inside), minorTicks: minorTicks.filter(inside)};
  }
  const powers = Array.from({length: Math.round(Math.log2(to / from)) + 1}, (_, power) => from * 2 ** power);
  // Labels such as `512 KiB` would touch each other if every power had one.
  const every = powers.length > 7 ? 2 : 1;
  return {ticks: powers.filter((_, at) => (powers.length - 1 - at) % every === 0), minorTicks: powers};
}
