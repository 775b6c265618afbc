/** Pictures that are no plots: histogram, timeline, what wakes were spent on, and the pages of a memory. Each says in words what it shows. */
import {useEffect, useRef, useState} from 'preact/hooks';
import {clockTime, duration, number, stateOf} from './format.js';
import {html} from './html.js';
import {now} from './model.js';

/** Counts by classes. @param bounds upper ones, in milliseconds; the last count is of what is above */
export function Histogram({bounds, counts, what}) {
  const most = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return html`<p class="empty">No ${what} yet.</p>`;
  const label = (at) => (at < bounds.length ? duration(bounds[at]) : `more`);
  // Only what lies between the first and the last that there are.
  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  const shown = counts.map((count, at) => ({count, at})).slice(Math.max(0, Math.min(first, last - 4)), last + 1);
  return html`<ol class="bars">
    ${shown.map(
      ({count, at}) => html`<li key=${at}>
        <span class="bound">${at < bounds.length ? '≤ ' : ''}${label(at)}</span>
        <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="ground" width="100" height="10" rx="1" /><rect class="fill" width=${(count / most) * 100} height="10" rx="1" /></svg>
        <span class="count">${number(count)}</span>
      </li>`,
    )}
  </ol>`;
}

const ranges = [
  {text: '15 min', ms: 900_000},
  {text: '1 h', ms: 3_600_000},
  {text: '6 h', ms: 21_600_000},
  {text: '24 h', ms: 86_400_000},
];

/** When an app was awake. @param states from when on it was in which */
export function Timeline({states, current}) {
  const [chosen, choose] = useState(0);
  const {ms} = ranges[chosen];
  const end = now();
  const start = end - ms;
  const x = (at) => ((Math.max(at, start) - start) / ms) * 1000;
  const parts = states.map(([at, state], index) => ({at, state, until: states[index + 1]?.[0] ?? end})).filter(({until}) => until > start);
  const known = parts.length > 0 ? parts : [{at: start, state: current, until: end}];
  const awakeMs = known.reduce((sum, {at, state, until}) => sum + (state === 'running' ? until - Math.max(at, start) : 0), 0);
  const wakes = known.filter(({state, at}) => state === 'running' && at >= start).length;
  const words = `Awake ${Math.round((awakeMs / ms) * 100)} % of the last ${ranges[chosen].text}, woken ${wakes === 1 ? 'once' : `${wakes} times`}`;
  return html`<div class="timeline">
    <div class="tools">
      <p class="soft">${words}</p>
      <div class="chips" role="group" aria-label="Time shown">
        ${ranges.map(({text}, at) => html`<button key=${text} type="button" class="chip" aria-pressed=${at === chosen} onClick=${() => choose(at)}>${text}</button>`)}
      </div>
    </div>
    <svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label=${words}>
      <rect class="ground" width="1000" height="40" />
      ${known.map(({at, state, until}) => html`<rect key=${at} class=${stateOf(state).look} x=${x(at)} width=${Math.max(x(until) - x(at), 1.5)} height="40"><title>${stateOf(state).word}, ${clockTime(at)} to ${clockTime(until)}</title></rect>`)}
    </svg>
    <p class="scale" aria-hidden="true"><span>${clockTime(start)}</span><span>${clockTime(start + ms / 2)}</span><span>now</span></p>
    <p class="legend"><span><i class="key awake"></i>awake</span><span><i class="key moving"></i>waking or falling asleep</span><span><i class="key asleep"></i>asleep</span></p>
  </div>`;
}

const phases = [
  {key: 'holdMs', text: 'hold', look: 'hold'},
  {key: 'restoreMs', text: 'restore', look: 'restore'},
  {key: 'readyMs', text: 'ready', look: 'ready'},
];

/** What the last wakes were spent on: one line for each, the newest first. */
export function Wakes({wakes}) {
  if (wakes.length === 0) return html`<p class="empty">It has not been woken yet.</p>`;
  const lengthOf = (wake) => (wake.holdMs ?? 0) + wake.ms;
  const longest = Math.max(...wakes.map(lengthOf));
  const isSplit = wakes.some((wake) => wake.restoreMs !== undefined);
  return html`<ol class="wakes">
      ${wakes.map((wake) => {
        let x = 0;
        const parts =
          wake.restoreMs === undefined ? [{text: 'wake', look: 'restore', ms: wake.ms}] : phases.map(({key, text, look}) => ({text, look, ms: wake[key] ?? 0}));
        const words = [...parts, ...(wake.pagesMs === undefined ? [] : [{text: 'pages', ms: wake.pagesMs}])]
          .map(({text, ms}) => `${text} ${duration(ms)}`)
          .join(', ');
        return html`<li key=${wake.id}>
          <span class="when">${clockTime(wake.at)}</span>
          <svg class="bar" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=${words}>
            <title>${words}</title>
            ${parts.map(({text, look, ms}) => {
              const width = (ms / longest) * 1000;
              x += width;
              return html`<rect key=${text} class=${look} x=${x - width} width=${width} height="14" />`;
            })}
            ${wake.pagesMs === undefined ? null : html`<rect class="pages" x=${((wake.holdMs ?? 0) / longest) * 1000} y="16" width=${(wake.pagesMs / longest) * 1000} height="4" />`}
          </svg>
          <span class="count">${duration(lengthOf(wake))}</span>
          <small class="soft">${wake.trigger} · ${wake.cold === 1 ? 'started from its files' : `${number(wake.predictedPages)} pages foreseen`}</small>
        </li>`;
      })}
    </ol>
    ${isSplit ? html`<p class="legend">${phases.map(({text, look}) => html`<span key=${text}><i class="key ${look}"></i>${text}</span>`)}<span><i class="key pages"></i>pages, meanwhile</span></p>` : null}`;
}

const cell = 11;
const gapBlocks = 64;

/** Rows of blocks; between far addresses a little room is left. */
function layout(processes, columns) {
  const cells = [];
  let [x, y] = [0, 0];
  const newRow = (room) => {
    if (x > 0) y += cell;
    x = 0;
    y += room;
  };
  for (const {pid, blockBytes, blocks} of processes) {
    newRow(y === 0 ? 0 : cell);
    let before = null;
    for (const block of blocks) {
      const address = Number.parseInt(block[0], 16);
      if (before !== null && address - before > gapBlocks * blockBytes) newRow(3);
      else if (before !== null && address - before > blockBytes) x += Math.min(3, Math.round((address - before) / blockBytes) - 1);
      if (x >= columns) newRow(0);
      cells.push({x: x * cell, y, pid, block, blockBytes});
      x++;
      before = address;
    }
  }
  return {cells, height: y + cell};
}

function draw(canvas, {cells, height}, width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  const [untouched, predicted, faulted, dirty] = ['--untouched', '--predicted', '--faulted', '--dirty'].map(colour);
  const size = cell - 1.5;
  for (const {x, y, block} of cells) {
    const [, pages, foreseen, touched, changed] = block;
    context.fillStyle = untouched;
    context.fillRect(x, y, size, size);
    const wide = (foreseen / pages) * size;
    context.fillStyle = predicted;
    context.fillRect(x, y, wide, size);
    context.fillStyle = faulted;
    context.fillRect(x + wide, y, Math.min(size - wide, (touched / pages) * size), size);
    if (changed === 0) continue;
    context.fillStyle = dirty;
    context.fillRect(x, y + size - 2.5, (changed / pages) * size, 2.5);
  }
}

function wordsOf({block, pid, blockBytes}) {
  const [address, pages, foreseen, touched, changed] = block;
  return `process ${pid}, 0x${address}, ${blockBytes / 1024} KiB: ${pages} pages, ${foreseen} foreseen, ${touched} faulted, ${changed} changed`;
}

/** Memory, block by block. @param report as the gateway has it */
export function Memory({report}) {
  const canvas = useRef(null);
  const placed = useRef(null);
  const [words, setWords] = useState('');
  const {totals, processes, isAwake, knowsChanges} = report;
  useEffect(() => {
    const element = canvas.current;
    // The page may have been left before it was drawn.
    if (element === null) return undefined;
    const paint = () => {
      const width = element.parentElement?.clientWidth ?? 0;
      placed.current = layout(processes, Math.max(8, Math.floor(width / cell)));
      draw(element, placed.current, width);
    };
    paint();
    const size = new ResizeObserver(paint);
    size.observe(element.parentElement);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', paint);
    return () => {
      size.disconnect();
      scheme.removeEventListener('change', paint);
    };
  }, [report]);
  const untouched = Math.max(0, totals.pages - totals.predicted - totals.faulted);
  const share = (count) => html`${number(count)} <small class="soft">${totals.pages === 0 ? 0 : Math.round((count / totals.pages) * 100)} %</small>`;
  const point = (event) => {
    const {offsetX, offsetY} = event;
    const found = placed.current?.cells.find(({x, y}) => offsetX >= x && offsetX < x + cell && offsetY >= y && offsetY < y + cell);
    setWords(found === undefined ? '' : wordsOf(found));
  };
  const all = `${number(totals.pages)} pages: ${number(totals.predicted)} foreseen, ${number(totals.faulted)} faulted, ${number(untouched)} untouched${knowsChanges ? `, ${number(totals.dirty)} changed` : ''}`;
  return html`<div class="memory">
    <p class="legend">
      <span><i class="key predicted"></i>${isAwake ? 'foreseen, installed ahead' : 'foreseen for the next wake'} ${share(totals.predicted)}</span>
      ${isAwake ? html`<span><i class="key faulted"></i>faulted in ${share(totals.faulted)}</span>` : null}
      <span><i class="key untouched"></i>${isAwake ? 'untouched, not in memory' : 'left to faults'} ${share(untouched)}</span>
      ${knowsChanges ? html`<span><i class="key dirty"></i>changed in the run before ${share(totals.dirty)}</span>` : null}
    </p>
    <div><canvas ref=${canvas} role="img" aria-label=${all} onMouseMove=${point} onMouseLeave=${() => setWords('')}></canvas></div>
    <p class="soft hint">${words || `${number(totals.pages)} pages of 4 KiB, a square for each ${processes[0] === undefined ? '' : `${sizeOf(processes[0].blockBytes)}`} of addresses`}</p>
  </div>`;
}

function sizeOf(blockBytes) {
  return blockBytes >= 1048576 ? `${blockBytes / 1048576} MiB` : `${blockBytes / 1024} KiB`;
}
