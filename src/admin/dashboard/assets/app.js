/** All about one app: what it does and why, when it slept, its wakes, its memory. */
import {useEffect, useState} from 'preact/hooks';
import {Actions, State} from './apps.js';
import {ago, bytes, duration, number, residenceOf} from './format.js';
import {html} from './html.js';
import {now, readApp} from './model.js';
import {Moments} from './overview.js';
import {Histogram, Memory, Timeline, Wakes} from './pictures.js';

const againMs = 5000;
const soonMs = 300;
const wakesShown = 10;
const boundsMs = [20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000];

/** Asked for again when something has happened to the app, and now and then while it is awake. */
function useDetail(name, app) {
  const [detail, setDetail] = useState({found: null, problem: null});
  const isAwake = app?.state === 'running';
  const stamp = JSON.stringify([app?.state, app?.lastWake?.at, app?.lastHibernate?.at, app?.pinned]);
  useEffect(() => {
    let isOver = false;
    let timer;
    const read = async () => {
      try {
        const found = await readApp(name);
        if (!isOver) setDetail({found, problem: null});
      } catch (error) {
        if (!isOver) setDetail((before) => ({...before, problem: error.message}));
      }
      if (!isOver && isAwake) timer = setTimeout(read, againMs);
    };
    timer = setTimeout(read, detail.found === null ? 0 : soonMs);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [name, stamp, isAwake]);
  return detail;
}

function countsOf(wakes) {
  const counts = boundsMs.map(() => 0).concat(0);
  for (const {ms} of wakes) {
    const at = boundsMs.findIndex((bound) => ms <= bound);
    counts[at === -1 ? boundsMs.length : at]++;
  }
  return counts;
}

function Facts({app, found}) {
  const {live, explained} = found?.known ?? {};
  const {lastWake, lastHibernate, traffic} = app;
  const facts = [
    ['Memory', app.memoryBytes === null ? '–' : `${bytes(app.memoryBytes)}${app.state === 'running' ? '' : ' when it was awake'}`],
    ['Kept', residenceOf(app.residence)],
    ['Last wake', lastWake === null ? '–' : `${ago(lastWake.at, now())}, in ${duration(lastWake.ms)}`],
    ['Woken by', lastWake?.trigger ?? '–'],
    ['Last sleep', lastHibernate === null ? '–' : `${ago(lastHibernate.at, now())}, ${bytes(lastHibernate.bytesWritten)} written`],
    ...(traffic === null
      ? []
      : [
          ['Sessions', `${number(traffic.sessions)} now, ${number(traffic.total)} in all`],
          ['Traffic', `${bytes(traffic.bytesIn)} in, ${bytes(traffic.bytesOut)} out`],
        ]),
    ...(live?.address ? [['Address', live.address]] : []),
    ...(explained?.generation ? [['Generation', number(explained.generation)]] : []),
    ...(explained?.nextWake ? [['Wakes by itself', `in ${duration(Math.max(0, explained.nextWake.at - now()))}`]] : []),
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Why({found}) {
  const sentences = found?.known.explained?.sentences ?? [];
  const blocker = found?.known.explained?.awakeBecause ?? null;
  return html`<section class="card" aria-label="What it does and why">
    <h2>What it does and why</h2>
    ${blocker === null ? null : html`<p class="blocker"><strong>Awake because of</strong> ${blocker}</p>`}
    ${sentences.map((sentence) => html`<p key=${sentence}>${sentence}</p>`)}
  </section>`;
}

function Pages({found}) {
  const report = found?.known.pages;
  if (report === undefined) return html`<p class="empty">One moment …</p>`;
  if (report === null) return html`<p class="empty">There is no checkpoint on this host yet: it is made when the app falls asleep.</p>`;
  if (report.problem !== undefined) return html`<p class="empty">${report.problem}</p>`;
  return html`<${Memory} report=${report} />`;
}

export function AppPage({name, app}) {
  const {found, problem} = useDetail(name, app);
  if (app === undefined) return html`<p><a href="#/">All apps</a></p><p class="empty">There is no app "${name}".</p>`;
  const moments = [...(found?.history.moments ?? [])].reverse();
  const wakes = moments.filter(({kind}) => kind === 'woken');
  return html`<p><a href="#/">All apps</a></p>
    <div class="title"><h1>${name}</h1><${State} app=${app} />${app.pinned === null ? null : html`<span class="label">pinned${app.pinned.until === null ? '' : ` until ${new Date(app.pinned.until).toLocaleTimeString()}`}</span>`}<${Actions} app=${app} /></div>
    ${problem === null ? null : html`<p class="notice" role="alert">${problem}</p>`}
    <${Facts} app=${app} found=${found} />
    <div class="cards">
      <section class="card wide" aria-label="Awake and asleep"><h2>Awake and asleep</h2><${Timeline} states=${found?.history.states ?? []} current=${app.state} /></section>
      <section class="card wide" aria-label="Memory"><h2>Memory</h2><${Pages} found=${found} /></section>
      <${Why} found=${found} />
      <section class="card" aria-label="Last wakes"><h2>Last wakes</h2><${Wakes} wakes=${wakes.slice(0, wakesShown)} /></section>
      <section class="card" aria-label="Wake times"><h2>Wake times</h2><${Histogram} bounds=${boundsMs} counts=${countsOf(wakes)} what="wakes" /></section>
      <section class="card" aria-label="What happened last"><h2>What happened last</h2><${Moments} moments=${moments.slice(0, 12)} withApp=${false} /></section>
    </div>`;
}
