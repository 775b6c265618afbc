/** All apps: found by name and state, sorted, a page of them at a time. */
import {useState} from 'preact/hooks';
import {ago, bytes, duration, number, residenceOf, stateOf} from './format.js';
import {html} from './html.js';
import {act, model, now} from './model.js';

const pageSize = 50;

const filters = {
  all: {text: 'all', holds: () => true},
  awake: {text: 'awake', holds: ({state}) => ['running', 'reviving', 'draining', 'checkpointing'].includes(state)},
  asleep: {text: 'asleep', holds: ({state}) => state === 'hibernated'},
  stopped: {text: 'not started', holds: ({state}) => state === 'stopped'},
  failed: {text: 'failed', holds: ({state}) => state === 'failed'},
  pinned: {text: 'pinned', holds: ({pinned}) => pinned !== null},
};

const order = ['running', 'reviving', 'draining', 'checkpointing', 'failed', 'hibernated', 'stopped'];

const columns = [
  {key: 'name', text: 'App', value: ({name}) => name},
  {key: 'state', text: 'State', value: ({state}) => order.indexOf(state)},
  {key: 'memory', text: 'Memory', value: ({memoryBytes}) => memoryBytes ?? -1, numeric: true},
  {key: 'woke', text: 'Last wake', value: ({lastWake}) => lastWake?.at ?? -1, numeric: true, wide: true},
  {key: 'took', text: 'took', value: ({lastWake}) => lastWake?.ms ?? -1, numeric: true, wide: true},
  {key: 'sessions', text: 'Sessions', value: ({traffic}) => traffic?.sessions ?? -1, numeric: true, wide: true},
  {key: 'traffic', text: 'Traffic', value: ({traffic}) => (traffic === null ? -1 : traffic.bytesIn + traffic.bytesOut), numeric: true, wide: true},
];

export function State({app}) {
  const {word, look} = stateOf(app.state);
  return html`<span class="state ${look}">${word}</span>`;
}

/** What can be done with an app now, for those who may. */
export function Actions({app}) {
  if (model.you?.isAdmin !== true) return null;
  const {name, state, pinned} = app;
  const isAwake = state === 'running';
  const isMoving = ['reviving', 'draining', 'checkpointing'].includes(state);
  const button = (action, text, more) =>
    html`<button type="button" class=${more?.look ?? ''} disabled=${more?.disabled ?? false} aria-label=${`${text} ${name}`} onClick=${() => act(action, name)}>${text}</button>`;
  return html`<span class="actions">
    ${isAwake ? button('hibernate', 'Hibernate', {disabled: pinned !== null}) : button('wake', 'Wake', {disabled: isMoving, look: 'main'})}
    ${pinned === null ? button('pin', 'Pin', {look: 'pin'}) : button('unpin', 'Unpin', {disabled: pinned.by === 'configuration', look: 'pin'})}
  </span>`;
}

function Row({app}) {
  const {name, memoryBytes, lastWake, traffic, pinned, state, busy, lastError} = app;
  const isHere = state !== 'hibernated' && state !== 'stopped' && state !== 'failed';
  const note = [
    ...(pinned === null ? [] : ['pinned']),
    ...(app.worker === null ? [] : [`on ${app.worker}`]),
    ...(busy > 0 ? [`${busy} waiting for an answer`] : []),
    ...(isHere || app.residence === 'none' ? [] : [residenceOf(app.residence)]),
  ];
  return html`<tr>
    <th scope="row" class="name"><a href=${`#/app/${encodeURIComponent(name)}`}>${name}</a>${note.length > 0 ? html`<small>${note.join(' · ')}</small>` : null}</th>
    <td><${State} app=${app} />${state === 'failed' && lastError ? html`<small class="bad" title=${lastError.message}>${lastError.message}</small>` : null}</td>
    <td class="number ${isHere ? '' : 'soft'}">${bytes(memoryBytes)}${!isHere && memoryBytes !== null ? html`<small>saved</small>` : null}</td>
    <td class="number wide">${ago(lastWake?.at, now())}${lastWake ? html`<small>${lastWake.trigger.split(' ')[0]}</small>` : null}</td>
    <td class="number wide">${duration(lastWake?.ms)}</td>
    <td class="number wide">${traffic === null ? '–' : number(traffic.sessions)}</td>
    <td class="number wide">${traffic === null ? '–' : bytes(traffic.bytesIn + traffic.bytesOut)}</td>
    <td class="act"><${Actions} app=${app} /></td>
  </tr>`;
}

function Heading({column, sort, setSort}) {
  const {key, text, numeric, wide} = column;
  const direction = sort.key === key ? (sort.down ? 'descending' : 'ascending') : null;
  const turn = () => setSort({key, down: sort.key === key ? !sort.down : numeric === true});
  return html`<th scope="col" class="${numeric ? 'number' : ''} ${wide ? 'wide' : ''}" aria-sort=${direction}>
    <button type="button" class="sort" onClick=${turn}>${text}<span aria-hidden="true">${direction === null ? '' : sort.down ? ' ↓' : ' ↑'}</span></button>
  </th>`;
}

/** Leads to further pages of a list, if there are any. */
export function Pages({page, pages, setPage, what}) {
  if (pages <= 1) return null;
  return html`<nav class="pages" aria-label=${`Pages of ${what}`}>
    <button type="button" disabled=${page === 0} onClick=${() => setPage(page - 1)}>Previous</button>
    <span>Page ${page + 1} of ${pages}</span>
    <button type="button" disabled=${page === pages - 1} onClick=${() => setPage(page + 1)}>Next</button>
  </nav>`;
}

export function AppList({apps}) {
  const [text, setText] = useState('');
  const [filter, setFilter] = useState('all');
  const [sort, setSort] = useState({key: 'state', down: false});
  const [wanted, setPage] = useState(0);
  const search = text.trim().toLowerCase();
  const found = apps.filter((app) => filters[filter].holds(app) && app.name.toLowerCase().includes(search));
  const {value} = columns.find(({key}) => key === sort.key);
  const compare = (a, b) => (typeof a === 'string' ? a.localeCompare(b) : a - b);
  found.sort((a, b) => (sort.down ? -1 : 1) * compare(value(a), value(b)) || a.name.localeCompare(b.name));
  const pages = Math.max(1, Math.ceil(found.length / pageSize));
  const page = Math.min(wanted, pages - 1);
  const shown = found.slice(page * pageSize, (page + 1) * pageSize);
  const counts = Object.entries(filters).map(([name, {holds}]) => [name, apps.filter(holds).length]);
  return html`<section class="card" aria-label="Apps">
    <div class="tools">
      <h2>Apps</h2>
      ${apps.length > 6 ? html`<input type="search" placeholder="Find by name" aria-label="Find by name" value=${text} onInput=${(event) => setText(event.target.value)} />` : null}
      <div class="chips" role="group" aria-label="Show">
        ${counts.map(([name, count]) => (name === 'all' || count > 0 ? html`<button key=${name} type="button" class="chip" aria-pressed=${filter === name} onClick=${() => setFilter(filter === name ? 'all' : name)}>${filters[name].text} ${number(count)}</button>` : null))}
      </div>
    </div>
    ${
      shown.length === 0
        ? html`<p class="empty">No app is so.</p>`
        : html`<table class="apps">
          <thead><tr>${columns.map((column) => html`<${Heading} key=${column.key} column=${column} sort=${sort} setSort=${setSort} />`)}<td class="act"></td></tr></thead>
          <tbody>${shown.map((app) => html`<${Row} key=${app.name} app=${app} />`)}</tbody>
        </table>`
    }
    <${Pages} page=${page} pages=${pages} setPage=${setPage} what="apps" />
  </section>`;
}
