/** Of all apps together: memory over time, how long wakes took, what happened last. */
import {useEffect, useRef, useState} from 'preact/hooks';
import {ago, bytes, clockTime, duration} from './format.js';
import {html} from './html.js';
import {model, now} from './model.js';
import {Histogram} from './pictures.js';

/** Its file is no module. */
const {uPlot} = globalThis;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Between lines of the plot, so that they are at round numbers of bytes. */
const steps = Array.from({length: 30}, (_, at) => 2 ** (at + 16));

const plotHeight = 200;

function plotOptions(width, onCursor) {
  const axis = {stroke: colour('--soft'), grid: {stroke: colour('--line'), width: 1}, ticks: {show: false}, font: '12px system-ui'};
  // A sample holds until there is another one: nothing is told while nothing changes.
  const area = (label, name) => ({
    label,
    stroke: colour(name),
    fill: `${colour(name)}33`,
    width: 2,
    points: {show: false},
    paths: uPlot.paths.stepped({align: 1}),
  });
  return {
    width,
    height: plotHeight,
    legend: {show: false},
    cursor: {y: false, points: {size: 7}},
    axes: [
      {
        ...axis,
        size: 28,
        space: 90,
        values: (_plot, values) => values.map((value) => clockTime(value * 1000).slice(0, values.length > 1 && values[1] - values[0] < 60 ? 8 : 5)),
      },
      {...axis, size: 76, incrs: steps, values: (_plot, values) => values.map((value) => bytes(value))},
    ],
    scales: {y: {range: (_plot, _min, max) => [0, Math.max(max * 1.1, 1024 * 1024)]}},
    series: [{}, area('in use', '--awake'), area('saved', '--asleep')],
    hooks: {setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)]},
  };
}

function usePlot(onCursor) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const element = place.current;
    // The page may have been left before it was drawn.
    if (element === null) return undefined;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(plotOptions(element.clientWidth, onCursor), columns(), element);
    };
    make();
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', make);
    const size = new ResizeObserver(() => plot.current?.setSize({width: element.clientWidth, height: plotHeight}));
    size.observe(element);
    return () => {
      scheme.removeEventListener('change', make);
      size.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  const last = model.memory.at(-1)?.[0];
  useEffect(() => plot.current?.setData(columns()), [last, model.memory.length]);
  return place;
}

function columns() {
  return [0, 1, 2].map((column) => model.memory.map((sample) => (column === 0 ? sample[0] / 1000 : sample[column])));
}

function MemoryPlot() {
  const [at, setAt] = useState(null);
  const place = usePlot(setAt);
  const sample = (at === null ? undefined : model.memory[at]) ?? model.memory.at(-1);
  const when = at === null || sample === undefined ? 'now' : clockTime(sample[0]);
  return html`<section class="card wide" aria-label="Memory over time">
    <h2>Memory over time</h2>
    <p class="legend">
      <span><i class="key awake"></i>in use ${bytes(sample?.[1])}</span><span><i class="key asleep"></i>saved by sleep ${bytes(sample?.[2])}</span><span class="soft">${when}</span>
    </p>
    <div class="plot" ref=${place} role="img" aria-label=${`In use ${bytes(sample?.[1])}, saved by sleep ${bytes(sample?.[2])}`}></div>
  </section>`;
}

const sentences = {
  woken: (event) => `woke in ${duration(event.ms)}, by ${event.trigger}`,
  hibernated: (event) => `fell asleep in ${duration(event.ms)}${event.cause ? ` (${event.cause})` : ''}, ${bytes(event.bytesWritten)} written`,
  evicted: () => 'was put to sleep to free memory',
  compacted: () => 'was compacted',
  error: (event) => event.message,
  died: (event) => `ended by itself: ${event.status}`,
  fallback: (event) => `could not be restored, and was ${event.to === 'previous' ? 'restored from an older checkpoint' : 'started from its files'}`,
  pinned: () => 'was pinned',
  unpinned: () => 'was unpinned',
  stored: () => 'is in the store',
  'store-unreachable': () => 'the store cannot be reached',
  'page-waits': () => 'waits for a page from the store',
  'page-waits-no-more': () => 'waits for the store no more',
};

/** @param event as the gateway keeps it */
export function sentence(event) {
  return sentences[event.kind]?.(event) ?? event.message ?? event.kind.replaceAll('-', ' ');
}

export function Moments({moments, withApp = true}) {
  if (moments.length === 0) return html`<p class="empty">Nothing has happened yet.</p>`;
  return html`<ol class="moments">
    ${moments.map(
      (event) => html`<li key=${event.id} class=${event.kind === 'error' || event.kind === 'died' ? 'bad' : ''}>
        <time datetime=${new Date(event.at).toISOString()} title=${new Date(event.at).toLocaleString()}>${ago(event.at, now())}</time>
        <span>${withApp && event.app !== null ? html`<a href=${`#/app/${encodeURIComponent(event.app)}`}>${event.app}</a> ` : null}${sentence(event)}</span>
      </li>`,
    )}
  </ol>`;
}

export function Overview() {
  const wakes = model.items.get('wakes') ?? {bounds: [], counts: []};
  return html`<div class="cards">
    <${MemoryPlot} />
    <section class="card" aria-label="Wake times"><h2>Wake times</h2><${Histogram} bounds=${wakes.bounds} counts=${wakes.counts} what="wakes" /></section>
    <section class="card" aria-label="What happened last"><h2>What happened last</h2><${Moments} moments=${(model.items.get('recent') ?? []).slice(0, 12)} /></section>
  </div>`;
}
