/** Commands about one server: its state, weight, address and limits, and new servers (management manual, section 9.3). */
import {isIP} from 'node:net';
import {CodedError} from '../core/errors.ts';
import {agentCommands, setAgent} from './agent-commands.ts';
import {setCheck} from './check-commands.ts';
import {type Command, type CommandContext, refuse} from './command.ts';
import {findBackend, findServer, splitServerPath, wholeNumber} from './find-proxy.ts';
import type {Health, ServerControl} from './gateway-control.ts';

const maxWeight = 256;
const usage =
  'usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | check-port | fqdn | health | ssl | state | weight\n';

const states = {ready: 'ready', drain: 'drain', maint: 'maint'} as const;
const healths: Readonly<Record<string, Health>> = {up: 'up', stopping: 'stopping', down: 'down'};

function setState(server: ServerControl, [value = '']: readonly string[]): string {
  const state = (Object.values(states) as string[]).includes(value) ? states[value as keyof typeof states] : null;
  server.setAdministrative(state ?? refuse("'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"));
  return '';
}

function setHealth(server: ServerControl, [value = '']: readonly string[]): string {
  if (server.track !== null) return refuse('cannot change health on a tracking server.\n');
  server.setHealth(healths[value] ?? refuse("'set server <srv> health' expects 'up', 'stopping', or 'down'.\n"));
  return '';
}

/** A weight, or a percentage of the one in the configuration. */
function setWeight(server: ServerControl, [value]: readonly string[]): string {
  if (value === undefined) return refuse('Require <weight> or <weight%>.\n');
  const [, digits, percent] = /^(\d{1,9})(%?)/.exec(value) ?? refuse('Empty weight string empty or preceded by garbage');
  const number = Number(digits);
  if (percent === '%') {
    const weight = Math.trunc((server.initialWeight * number) / 100);
    if (weight > maxWeight) return refuse('Relative weight must be positive.\n');
    server.setWeight(weight);
    return '';
  }
  if (digits?.length !== value.length) return refuse('Trailing garbage in weight string');
  if (number > maxWeight) return refuse('Absolute weight can only be between 0 and 256 inclusive.\n');
  server.setWeight(number);
  return '';
}

function setAddress(server: ServerControl, [host, word, portText]: readonly string[]): string {
  if (host === undefined) return refuse('set server <b>/<s> addr requires an address and optionally a port.\n');
  const by = "by 'stats socket command'\n";
  if (isIP(host) === 0) return refuse(`Invalid addr '${host}' ${by}`);
  const before = server.address;
  const withPort = word === 'port';
  const port = withPort ? wholeNumber(portText, `provided port is not an integer ${by}`) : (before?.port ?? 0);
  // HAProxy takes the lowest 16 bits of a larger one, which helps nobody.
  if (port > 65_535) return refuse(`provided port is not valid ${by}`);
  const hostChanged = before?.host !== host;
  const portChanged = before?.port !== port;
  if (hostChanged || portChanged) server.setAddress({host, port});
  const said = [
    hostChanged ? `IP changed from '${before?.host ?? '(none)'}' to '${host}'` : 'no need to change the addr',
    ...(withPort ? [portChanged ? `port changed from '${before?.port ?? 0}' to '${port}'` : 'no need to change the port'] : []),
  ];
  return `${said.join(', ')} ${by}`;
}

const notHere = (what: string): never => refuse(`'set server <srv> ${what}' is not implemented.\n`);

function setServer({control, args}: CommandContext): string {
  const [path, what, ...values] = args;
  const {server} = findServer(control, path);
  switch (what) {
    case 'state':
      return setState(server, values);
    case 'weight':
      return setWeight(server, values);
    case 'addr':
      return setAddress(server, values);
    case 'health':
      return setHealth(server, values);
    case 'agent':
    case 'agent-addr':
    case 'agent-port':
    case 'agent-send':
      return setAgent(server, what, values);
    case 'check-addr':
    case 'check-port':
      return setCheck(server, what, values);
    case 'ssl':
      return notHere(what);
    case 'fqdn':
      return refuse('set server <b>/<s> fqdn failed because no resolution is configured.\n');
    default:
      return refuse(usage);
  }
}

function setMaxconn({control, args: [path, value]}: CommandContext): string {
  const {server} = findServer(control, path);
  if (value === undefined) return refuse('Require <maxconn>.\n');
  server.setMaxconn(wholeNumber(value, 'maxconn string empty or preceded by garbage'));
  return '';
}

/** HAProxy answers these with one line end less. */
function withoutLineEnd(error: unknown): never {
  throw error instanceof CodedError && error.message.endsWith('\n') ? new CodedError(error.code, error.message.slice(0, -1), {source: 'client'}) : error;
}

async function addServer({control, args: [path, address, ...settings]}: CommandContext): Promise<string> {
  try {
    const {backendName, serverName} = splitServerPath(path);
    const backend = findBackend(control, backendName) ?? refuse('No such backend.\n');
    if ([...backend.servers()].some(({name}) => name === serverName)) return refuse('Already exists a server with the same name in backend.\n\n');
    if (address === undefined) return refuse("'server' expects <name> and <addr>[:<port>] as arguments.\n\n");
    await backend.addServer(serverName, address, settings);
    return 'New server registered.\n';
  } catch (error) {
    return withoutLineEnd(error);
  }
}

function delServer({control, args: [path]}: CommandContext): string {
  try {
    const {backend, server} = findServer(control, path);
    if (server.administrative !== 'maint') return refuse('Only servers in maintenance mode can be deleted.\n');
    if (server.stats.sessions > 0) return refuse('Server still has connections attached to it, cannot remove it.\n');
    backend.removeServer(server.name);
    return 'Server deleted.';
  } catch (error) {
    return withoutLineEnd(error);
  }
}

const onServer =
  (act: (server: ServerControl) => void) =>
  ({control, args: [path]}: CommandContext): string => {
    act(findServer(control, path).server);
    return '';
  };

export const serverCommands: readonly Command[] = [
  {name: 'add server', args: '<bk>/<srv>', help: 'create a new server', level: 'admin', run: addServer},
  ...agentCommands,
  {name: 'del server', args: '<bk>/<srv>', help: 'remove a dynamically added server', level: 'admin', run: delServer},
  {
    name: 'disable health',
    args: '<bk>/<srv>',
    help: 'disable health checks',
    level: 'admin',
    run: onServer((server) => server.enableChecks(false)),
  },
  {
    name: 'disable server',
    args: '<bk>/<srv>',
    help: "disable a server for maintenance (use 'set server' instead)",
    level: 'admin',
    run: onServer((server) => server.setAdministrative('maint')),
  },
  {name: 'enable health', args: '<bk>/<srv>', help: 'enable health checks', level: 'admin', run: onServer((server) => server.enableChecks(true))},
  {
    name: 'enable server',
    args: '<bk>/<srv>',
    help: "enable a disabled server (use 'set server' instead)",
    level: 'admin',
    run: onServer((server) => server.setAdministrative('ready')),
  },
  {
    name: 'get weight',
    args: '<bk>/<srv>',
    help: "report a server's current weight",
    level: 'user',
    run({control, args: [path]}) {
      const {server} = findServer(control, path);
      return `${server.weight} (initial ${server.initialWeight})\n`;
    },
  },
  {name: 'set maxconn server', args: '<bk>/<srv>', help: "change a server's maxconn setting", level: 'admin', run: setMaxconn},
  {name: 'set server', args: '<bk>/<srv> [opts]', help: "change a server's state, weight, or address", level: 'admin', run: setServer},
  {
    name: 'set weight',
    args: '<bk>/<srv>',
    help: "change a server's weight (use 'set server' instead)",
    level: 'admin',
    run: ({control, args: [path, ...values]}) => setWeight(findServer(control, path).server, values),
  },
  {
    name: 'shutdown sessions server',
    args: '<bk>/<srv>',
    help: 'kill sessions on a server',
    level: 'admin',
    run: onServer((server) => server.shutdownSessions()),
  },
];
