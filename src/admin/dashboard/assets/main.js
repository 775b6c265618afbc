/** The page: its head with the most important numbers, and what the address asks for below. */
import {render} from 'preact';
import {useEffect, useState} from 'preact/hooks';
import {AppPage} from './app.js';
import {AppList} from './apps.js';
import {bytes, duration, number, span} from './format.js';
import {html} from './html.js';
import {all, connect, csvPage, dismiss, listen, model, now, plainPage} from './model.js';
import {Overview} from './overview.js';
import {Proxies, Workers} from './proxies.js';

function placeOf(hash) {
  const [, page = '', name = ''] = hash.split('/');
  if (page === 'app' && name !== '') return {page: 'app', name: decodeURIComponent(name)};
  return {page: page === 'proxies' || page === 'workers' ? page : 'apps', name: ''};
}

function useModel() {
  const [, setTurn] = useState(0);
  useEffect(() => listen(() => setTurn((turn) => turn + 1)), []);
}

function usePlace() {
  const [place, setPlace] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const changed = () => {
      setPlace(placeOf(location.hash));
      scrollTo(0, 0);
    };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return place;
}

function Tile({name, value, more, look = ''}) {
  return html`<div class="tile ${look}"><dt>${name}</dt><dd>${value}</dd><dd class="more">${more}</dd></div>`;
}

function medianOf({bounds, counts}) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let left = total / 2;
  for (const [at, count] of counts.entries()) {
    left -= count;
    if (left <= 0 && total > 0) return {total, text: at < bounds.length ? `≤ ${duration(bounds[at])}` : `> ${duration(bounds.at(-1))}`};
  }
  return {total, text: '–'};
}

function Tiles({apps}) {
  const gateway = model.items.get('gateway') ?? {};
  const awake = apps.filter(({state}) => state === 'running').length;
  const failed = apps.filter(({state}) => state === 'failed').length;
  const wakes = medianOf(model.items.get('wakes') ?? {bounds: [], counts: []});
  const limit = gateway.memory ? `sleep begins above ${bytes(gateway.memory.highBytes)}` : 'by apps that are awake';
  return html`<dl class="tiles">
    <${Tile} name="Apps awake" value=${html`${number(awake)}<small class="unit"> of ${number(apps.length)}</small>`} look=${failed > 0 ? 'alarm' : ''}
      more=${failed > 0 ? `${number(failed)} failed` : `${number(apps.length - awake)} asleep or not started`} />
    <${Tile} name="Memory in use" value=${bytes(gateway.usedBytes ?? 0)} more=${limit} />
    <${Tile} name="Memory saved" value=${bytes(gateway.savedBytes ?? 0)} look="good" more="what the sleeping apps would take" />
    <${Tile} name="Sessions" value=${number(gateway.connections)} more=${`${number(gateway.sessionRate)}/s new, at most ${number(gateway.maxconn)}`} />
    <${Tile} name="Half of all wakes" value=${wakes.text} more=${wakes.total === 0 ? 'none seen yet' : `of the last ${number(wakes.total)}`} />
  </dl>`;
}

function Head({place, workers}) {
  const gateway = model.items.get('gateway') ?? {};
  const {hideVersion, showNode, showDescription} = model.you ?? {};
  const link = (page, text, hash) =>
    html`<a href=${hash} aria-current=${place.page === page || (place.page === 'app' && page === 'apps') ? 'page' : null}>${text}</a>`;
  const about = [
    ...(hideVersion || gateway.version === undefined ? [] : [gateway.version]),
    ...(showNode === null || showNode === undefined ? [] : [showNode === '' ? gateway.nodeName : showNode]),
    ...(showDescription ? [showDescription] : showDescription === '' && gateway.description ? [gateway.description] : []),
    ...(gateway.startedAtMs === undefined ? [] : [`up ${span(now() - gateway.startedAtMs)}`]),
  ];
  return html`<header>
    <a class="brand" href="#/"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" class="brand-ground" /><path class="brand-moon" d="M21 19.5A8 8 0 0 1 12.5 11a8 8 0 1 0 8.5 8.5z" /><circle class="brand-dot" cx="22" cy="10" r="3" /></svg>Picogate</a>
    <nav aria-label="Pages">
      ${link('apps', 'Apps', '#/')}${link('proxies', 'Proxies', '#/proxies')}${workers.length > 0 ? link('workers', 'Workers', '#/workers') : null}
    </nav>
    <p class="about">${about.join(' · ')}</p>
    <p class="live ${model.connected ? 'on' : 'off'}" role="status">${model.connected ? (gateway.stopping ? 'stopping' : 'live') : 'connecting …'}</p>
  </header>`;
}

function Outage() {
  const outage = model.items.get('gateway')?.store?.outage;
  if (!outage) return null;
  return html`<p class="notice" role="alert">The store cannot be reached since ${span(now() - outage.since)}: ${outage.message}</p>`;
}

function Page() {
  useModel();
  const place = usePlace();
  const [apps, workers] = [all('app'), all('worker')];
  if (model.you === null) return html`<main class="empty">${model.connected ? 'One moment …' : 'Connecting to the gateway …'}</main>`;
  const hasApps = apps.length > 0;
  return html`<${Head} place=${place} workers=${workers} />
    <main>
      <${Outage} />
      ${
        place.page === 'app'
          ? html`<${AppPage} key=${place.name} name=${place.name} app=${model.items.get(`app/${place.name}`)} />`
          : html`
            <h1 class="visually-hidden">Picogate</h1>
            ${hasApps && !model.you.isScoped ? html`<${Tiles} apps=${apps} />` : null}
            ${place.page === 'proxies' || (!hasApps && place.page === 'apps') ? html`<${Proxies} isAlone=${!hasApps} />` : null}
            ${place.page === 'workers' ? html`<${Workers} workers=${workers} />` : null}
            ${place.page === 'apps' && hasApps ? html`<${AppList} apps=${apps} />${model.you.isScoped ? null : html`<${Overview} />`}` : null}
          `
      }
    </main>
    <footer>HAProxy's forms of this page: <a href=${plainPage}>plain</a>, <a href=${csvPage}>CSV</a></footer>
    <div class="toast" role="status" hidden=${model.message === ''}>
      <span>${model.message}</span><button type="button" class="quiet" onClick=${dismiss}>Close</button>
    </div>`;
}

render(html`<${Page} />`, document.getElementById('root'));
connect();
