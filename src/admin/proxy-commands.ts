/** Commands about frontends and backends, and the listings of servers (management manual, section 9.3). */
import {type Answer, type Command, type CommandContext, refuse} from './command.ts';
import {findBackend, findFrontend, wholeNumber} from './find-proxy.ts';
import type {BackendControl, FrontendControl, GatewayControl, ServerControl} from './gateway-control.ts';
import {showErrors} from './show-errors.ts';
import {showInfo} from './show-info.ts';
import {statCsv, statJson, statTyped} from './show-stat.ts';
import {isInMaintenance, type StatRow, statRows} from './stat-rows.ts';

/** In `show stat ID TYPE SID`: bits of the types. */
const typeBits = {Frontend: 1, Backend: 2, Server: 4, Listener: 8} as const;

/** @throws CommandRefusal */
function proxyId(control: GatewayControl, word: string): number {
  if (/^-?\d+$/.test(word)) return Number(word);
  for (const proxy of [...control.frontends(), ...control.backends()]) if (proxy.name === word) return proxy.id;
  return refuse('No such proxy.\n');
}

/** The three words that choose rows come first. */
function chosenRows(control: GatewayControl, args: readonly string[]): Iterable<StatRow> {
  const [proxy, types, server] = args;
  const rows = statRows(control);
  if (proxy === undefined || types === undefined || server === undefined) return rows;
  const wantedProxy = proxyId(control, proxy);
  const bits = Number.parseInt(types, 10);
  const wantedServer = Number.parseInt(server, 10);
  return rows.filter(({objectType, proxyId: id, id: serverId}) => {
    if (wantedProxy !== -1 && id !== wantedProxy) return false;
    const isProxy = objectType === 'Frontend' || objectType === 'Backend';
    return (bits & typeBits[objectType]) !== 0 && (isProxy || wantedServer === -1 || serverId === wantedServer);
  });
}

function showStat({control, args}: CommandContext): Answer {
  // Two filters come before all others.
  const [first, domain] = args;
  const rest = first === 'domain' ? args.slice(2) : args;
  if (first === 'domain' && domain !== 'proxy') return refuse(domain === 'dns' || domain === 'resolvers' ? '' : 'Invalid statistics domain.\n');
  const withoutMaintenance = rest.includes('no-maint');
  const onlyUp = rest.includes('up');
  const rows = Iterator.from(chosenRows(control, rest)).filter((row) => !(withoutMaintenance && row.inMaintenance) && !(onlyUp && row.isDown));
  if (rest.includes('json')) return statJson(rows);
  return rest.includes('typed') ? statTyped(rows) : statCsv(rows);
}

const stateColumns =
  '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status ' +
  'srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port ' +
  'srv_check_addr srv_agent_addr srv_agent_port\n';

/** HAProxy's numbers of the results of checks; 0: unknown. */
const checkNumbers: Readonly<Record<string, number>> = {
  INI: 1,
  CHECKED: 3,
  HANA: 4,
  SOCKERR: 5,
  L4OK: 6,
  L4TOUT: 7,
  L4CON: 8,
  L6OK: 9,
  L6TOUT: 10,
  L6RSP: 11,
  L7TOUT: 12,
  L7RSP: 13,
  L7OK: 15,
  L7OKC: 16,
  L7STS: 17,
};

/** Of a last check: unknown 0, passed 3, conditionally passed 4; failed, 2, is whatever else there is. */
const checkResults: Readonly<Record<string, number>> = {INI: 0, L4OK: 3, L6OK: 3, L7OK: 3, L7OKC: 4};

/** Status, result and health. What is not checked has HAProxy's `rise` of 2 as its health. */
function checkWords(server: ServerControl): readonly number[] {
  const {check} = server;
  if (check === null) return [1, 0, isInMaintenance(server) ? 0 : 2];
  const {status, level} = check;
  const last = status.replace('* ', '');
  return [checkNumbers[last] ?? 0, checkResults[last] ?? 2, level];
}

/** Bits: forced maintenance 1, inherited 2, of the configuration 4, forced drain 8, no address 32. */
function administrativeBits({ordered, inheritsMaintenance, isDisabledInConfiguration, administrative}: ServerControl): number {
  return (
    {ready: 0, maint: 1, drain: 8}[ordered] + (inheritsMaintenance ? 2 : 0) + (isDisabledInConfiguration ? 4 : 0) + (administrative === 'resolution' ? 32 : 0)
  );
}

/** Bits: configured 2, enabled 4, paused by maintenance 8, which HAProxy also says of a server without checks that the configuration disables. */
function checkBits(server: ServerControl): number {
  const {check, isDisabledInConfiguration} = server;
  if (check === null) return isDisabledInConfiguration ? 8 : 0;
  return 2 + (check.enabled ? 4 + (isInMaintenance(server) ? 8 : 0) : 0);
}

/** HAProxy's numbers: stopped 0, starting 1, running 2, stopping 3. */
function stateLine(backend: BackendControl, server: ServerControl): string {
  const {address, agent, agentPlace, check} = server;
  const operational = isInMaintenance(server) ? 0 : {up: server.throttlePercent === null ? 2 : 1, stopping: 3, down: 0}[server.health];
  const words = [
    backend.id,
    backend.name,
    server.id,
    server.name,
    address?.host ?? '-',
    operational,
    administrativeBits(server),
    server.weight,
    server.initialWeight,
    server.lastChangeSeconds,
    ...checkWords(server),
    checkBits(server),
    agent === null ? 0 : agent.isEnabled ? 22 : 18,
    0,
    0,
    server.hostName ?? '-',
    address?.port ?? 0,
    server.serviceName ?? '-',
    server.usesTls ? 1 : 0,
    check?.port ?? 0,
    check?.address ?? '-',
    agentPlace.address ?? '-',
    agentPlace.port ?? 0,
  ];
  return `${words.join(' ')}\n`;
}

function chosenBackends(control: GatewayControl, name: string | undefined): Iterable<BackendControl> {
  return name === undefined ? control.backends() : [findBackend(control, name) ?? refuse("Can't find backend.\n")];
}

function* serverStates(backends: Iterable<BackendControl>): Generator<string> {
  yield `1\n${stateColumns}`;
  for (const backend of backends) for (const server of backend.servers()) yield stateLine(backend, server);
}

function* serverConnections(backends: Iterable<BackendControl>): Generator<string> {
  yield '# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[1]\n';
  for (const backend of backends) {
    for (const {name, id, address, stats} of backend.servers()) {
      const where = `${address?.host ?? '-'} ${address?.port ?? 0}`;
      yield `${backend.name}/${name} ${backend.id}/${id} ${where} - 5000 ${stats.sessions} ${stats.sessionsMax} ${stats.sessionsMax} 0 0 -1 0 0\n`;
    }
  }
}

async function pause(frontend: FrontendControl): Promise<string> {
  if (frontend.state === 'stopped') return refuse('Frontend was previously shut down, cannot disable.\n');
  if (frontend.state === 'paused') return refuse('All sockets are already disabled.\n');
  await frontend.pause();
  return '';
}

async function resume(frontend: FrontendControl): Promise<string> {
  if (frontend.state === 'stopped') return refuse('Frontend was previously shut down, cannot enable.\n');
  if (frontend.state !== 'paused') return refuse('All sockets are already enabled.\n');
  await frontend.resume();
  return '';
}

function shutdown(frontend: FrontendControl): string {
  if (frontend.state === 'stopped') return refuse('Frontend was already shut down.\n');
  frontend.shutdown();
  return '';
}

/** Those of one proxy, be it on either side of them, or of all. */
function unreadMessages(control: GatewayControl, [proxy, kind]: readonly string[]): Answer {
  const wanted = proxy === undefined ? -1 : proxyId(control, proxy);
  if (wanted === 0) return refuse('No such proxy.\n');
  const {count, last} = control.unreadMessages();
  const chosen = last.filter((message) => {
    const isOf = wanted < 0 || message.frontend.id === wanted || message.backend?.id === wanted;
    return isOf && (kind === message.kind || (kind !== 'request' && kind !== 'response'));
  });
  return showErrors(count, chosen);
}

const dynamicCookieChanges: readonly Command[] = [
  {
    name: 'disable dynamic-cookie backend',
    args: '<bk>',
    help: 'disable dynamic cookies on a specific backend',
    level: 'admin',
    run: ({control, args: [name]}) => changeCookies(control, name, {isOn: false}),
  },
  {
    name: 'enable dynamic-cookie backend',
    args: '<bk>',
    help: 'enable dynamic cookies on a specific backend',
    level: 'admin',
    run: ({control, args: [name]}) => changeCookies(control, name, {isOn: true}),
  },
  {
    name: 'set dynamic-cookie-key backend',
    args: '<bk> <k>',
    help: 'change a backend secret key for dynamic cookies',
    level: 'admin',
    run: ({control, args: [name, key = '']}) => changeCookies(control, name, {key}),
  },
];

function changeCookies(control: GatewayControl, name: string | undefined, change: {readonly key?: string; readonly isOn?: boolean}): string {
  if (name === undefined) return refuse('A backend name is expected.\n');
  const backend = findBackend(control, name) ?? refuse('No such backend.\n');
  if (change.key === '') return refuse('String value expected.\n');
  backend.setDynamicCookies(change);
  return '';
}

const proxyChanges: readonly Command[] = [
  {
    name: 'disable frontend',
    args: '<frontend>',
    help: 'temporarily disable specific frontend',
    level: 'admin',
    run: ({control, args: [name]}) => pause(findFrontend(control, name)),
  },
  {
    name: 'enable frontend',
    args: '<frontend>',
    help: 're-enable specific frontend',
    level: 'admin',
    run: ({control, args: [name]}) => resume(findFrontend(control, name)),
  },
  {
    name: 'set maxconn frontend',
    args: '<frontend> <value>',
    help: "change a frontend's maxconn setting",
    level: 'admin',
    run({control, args: [name, value]}) {
      const frontend = findFrontend(control, name);
      frontend.setMaxconn(wholeNumber(value, 'Integer value expected.\n'));
      return '';
    },
  },
  {
    name: 'set maxconn global',
    args: '<value>',
    help: 'change the per-process maxconn setting',
    level: 'admin',
    run({control, args: [value]}) {
      const maxconn = wholeNumber(value, 'Expects an integer value.\n');
      if (maxconn > control.process().hardMaxconn) return refuse('Value out of range.\n');
      control.setMaxconn(maxconn);
      return '';
    },
  },
  {
    name: 'shutdown frontend',
    args: '<frontend>',
    help: 'stop a specific frontend',
    level: 'admin',
    run: ({control, args: [name]}) => shutdown(findFrontend(control, name)),
  },
];

export const proxyCommands: readonly Command[] = [
  {
    name: 'clear counters',
    args: '[all]',
    help: 'clear max statistics counters (or all counters)',
    level: 'operator',
    run({control, args: [scope], level}) {
      if (scope === 'all' && level !== 'admin') return refuse('Permission denied\n');
      control.clearCounters(scope === 'all' ? 'all' : 'maxima');
      return '';
    },
  },
  ...proxyChanges,
  ...dynamicCookieChanges,
  {
    name: 'show backend',
    args: '',
    help: 'list backends in the current running config',
    level: 'user',
    run: ({control}) => `# name\n${[...control.backends()].map(({name}) => `${name}\n`).join('')}`,
  },
  {
    name: 'show errors',
    args: '[<px>] [request|response]',
    help: 'report last request and/or response errors for each proxy',
    level: 'operator',
    run: ({control, args}) => unreadMessages(control, args),
  },
  {
    name: 'show info',
    args: '[json|typed]*',
    help: 'report information about the running process',
    level: 'user',
    run: ({control, args}) => showInfo(control.process(), args.includes('json') ? 'json' : args.includes('typed') ? 'typed' : 'plain'),
  },
  {
    name: 'show servers conn',
    args: '[<backend>]',
    help: 'dump server connections status (all or for a single backend)',
    level: 'user',
    run: ({control, args: [name]}) => serverConnections(chosenBackends(control, name)),
  },
  {
    name: 'show servers state',
    args: '[<backend>]',
    help: 'dump volatile server information (all or for a single backend)',
    level: 'user',
    run: ({control, args: [name]}) => serverStates(chosenBackends(control, name)),
  },
  {name: 'show stat', args: '[json|no-maint|typed|up]*', help: 'report counters for each proxy and server', level: 'user', run: showStat},
];
