/** Frontends, backends and servers as HAProxy's page has them; and the workers that share the apps. */
import {useState} from 'preact/hooks';
import {Pages} from './apps.js';
import {bytes, number} from './format.js';
import {html} from './html.js';
import {act, all, model} from './model.js';

const columns = [
  {key: 'qcur', text: 'Queue', title: 'sessions that wait now'},
  {key: 'scur', text: 'Sessions', title: 'now'},
  {key: 'smax', text: 'Max', title: 'the most at a time'},
  {key: 'slim', text: 'Limit', title: 'as many as there may be'},
  {key: 'stot', text: 'Total', title: 'since the start'},
  {key: 'rate', text: 'Rate/s', title: 'new ones in the last second'},
  {key: 'bin', text: 'In', title: 'bytes from clients', show: bytes},
  {key: 'bout', text: 'Out', title: 'bytes to clients', show: bytes},
  {key: 'dreq', text: 'Denied', title: 'requests that a rule refused'},
  {key: 'econ', text: 'Conn. errors', title: 'servers that could not be connected to'},
  {key: 'eresp', text: 'Resp. errors', title: 'answers that were wrong or broke off'},
  {key: 'wretr', text: 'Retries', title: 'further attempts to connect'},
  {key: 'weight', text: 'Weight', title: 'of the server, or of all that can be used'},
];

function lookOf({status = '', maint, down}) {
  return maint ? 'moving' : down || status.startsWith('DOWN') || status === 'STOP' ? 'failed' : status === 'no check' ? 'stopped' : 'awake';
}

const choices = {
  ready: 'ready: gets sessions',
  drain: 'drain: no new sessions',
  maint: 'maint: off',
  up: 'health: up',
  stopping: 'health: stopping',
  down: 'health: down',
  check: 'checks: on',
  nocheck: 'checks: off',
  shutdown: 'end its sessions',
};

/** What can be done with a server, for those who may. */
function ServerActions({proxy, server}) {
  const [choice, setChoice] = useState('drain');
  const name = `${proxy}/${server}`;
  return html`<td class="choice">
    <select aria-label=${`What to do with ${name}`} value=${choice} onChange=${(event) => setChoice(event.target.value)}>
      ${Object.entries(choices).map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
    </select>
    <button type="button" aria-label=${`Apply to ${name}`} onClick=${() => act(`server-${choice}`, name)}>Apply</button>
  </td>`;
}

function Row({row, proxy}) {
  const {svname, status, app, addr, type} = row;
  const where = app === undefined ? (addr ?? '') : html`app <a href=${`#/app/${encodeURIComponent(app)}`}>${app}</a>`;
  const cell = ({key, show = number}) =>
    html`<td key=${key} class="number">${row[key] === undefined ? html`<span class="soft">0</span>` : show(row[key])}</td>`;
  return html`<tr class=${type === 'Server' || type === 'Listener' ? '' : 'total'}>
    <th scope="row" class="name">${type === 'Server' || type === 'Listener' ? svname : type}</th>
    <td><span class="state ${lookOf(row)}" title=${row.last_chk ?? ''}>${status}</span></td>
    ${columns.map(cell)}
    <td class="soft">${where}</td>
    ${model.you?.isAdmin !== true ? null : type === 'Server' ? html`<${ServerActions} proxy=${proxy} server=${svname} />` : html`<td></td>`}
  </tr>`;
}

const pageSize = 25;

/** One that has the text in its name, or in that of one of its servers or apps. */
function has(text) {
  const search = text.trim().toLowerCase();
  return ({name, rows}) =>
    name.toLowerCase().includes(search) || rows.some(({svname, app = ''}) => svname.toLowerCase().includes(search) || app.toLowerCase().includes(search));
}

export function Proxies({isAlone}) {
  const [text, setText] = useState('');
  const [wanted, setPage] = useState(0);
  const proxies = all('proxy');
  if (proxies.length === 0) return html`<p class="empty">No frontends or backends.</p>`;
  const found = proxies.filter(has(text));
  const pages = Math.max(1, Math.ceil(found.length / pageSize));
  const page = Math.min(wanted, pages - 1);
  return html`${isAlone ? html`<p class="soft">This gateway has no apps.</p>` : null}
  ${proxies.length > 6 ? html`<div class="tools"><input type="search" placeholder="Find by name" aria-label="Find by name" value=${text} onInput=${(event) => setText(event.target.value)} /><p class="soft">${number(found.length)} of ${number(proxies.length)}</p></div>` : null}
  ${found.length === 0 ? html`<p class="empty">None has such a name.</p>` : null}
  ${found.slice(page * pageSize, (page + 1) * pageSize).map(
    ({name, rows}) => html`<section key=${name} class="card" aria-label=${name}>
      <h2>${name} <small class="soft">${rows[0]?.mode ?? ''}</small></h2>
      <div class="scroll" role="region" tabindex="0" aria-label=${`Statistics of ${name}`}>
        <table>
          <thead><tr><th scope="col" class="name">Name</th><th scope="col">Status</th>${columns.map(({key, text, title}) => html`<th key=${key} scope="col" class="number" title=${title}>${text}</th>`)}<th scope="col">Where</th>${model.you?.isAdmin === true ? html`<th scope="col">Change</th>` : null}</tr></thead>
          <tbody>${rows.map((row) => html`<${Row} key=${`${row.type}${row.svname}`} row=${row} proxy=${name} />`)}</tbody>
        </table>
      </div>
    </section>`,
  )}
  <${Pages} page=${page} pages=${pages} setPage=${setPage} what="proxies" />`;
}

function Capacity({text, share}) {
  const percent = Math.min(100, Math.round(share * 100));
  return html`<span>${text}</span><meter min="0" max="100" value=${percent} aria-label=${`${percent} percent`}></meter>`;
}

export function Workers({workers}) {
  if (workers.length === 0) return html`<p class="empty">This is the only worker.</p>`;
  return html`<section class="card" aria-label="Workers">
    <h2>Workers</h2>
    <div class="scroll" role="region" tabindex="0" aria-label="Workers and their capacity">
      <table>
        <thead><tr><th scope="col" class="name">Name</th><th scope="col">State</th><th scope="col">Apps awake</th><th scope="col">Memory</th><th scope="col">Address</th><th scope="col">Labels</th></tr></thead>
        <tbody>
          ${workers.map(
            ({name, state, isDraining, awake, appsMax, usedBytes, memoryBytes, address, labels}) => html`<tr key=${name}>
              <th scope="row" class="name">${name}</th>
              <td><span class="state ${state === 'alive' ? (isDraining ? 'moving' : 'awake') : state === 'gone' ? 'failed' : 'stopped'}">${isDraining ? `${state}, drained` : state}</span></td>
              <td>${appsMax === null ? number(awake) : html`<${Capacity} text=${`${number(awake)} of ${number(appsMax)}`} share=${awake / appsMax} />`}</td>
              <td><${Capacity} text=${`${bytes(usedBytes)} of ${bytes(memoryBytes)}`} share=${usedBytes / memoryBytes} /></td>
              <td>${address}</td>
              <td>${Object.entries(labels).map(([key, value]) => html`<span key=${key} class="label">${key}=${value}</span>`)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}
