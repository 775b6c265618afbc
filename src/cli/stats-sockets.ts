/** The runtime API on all sockets that the configuration, and `-S`, ask for. They stay through reloads where their addresses do. */
import {isDeepStrictEqual} from 'node:util';
import type {StatsSocketFacts} from '../admin/command.ts';
import type {GatewayControl} from '../admin/gateway-control.ts';
import {type StatsSocket as OpenStatsSocket, openStatsSocket, type StatsAddress, showStatsAddress} from '../admin/stats-socket.ts';
import type {ProcessConfig, StatsSocket} from '../config/process-value.ts';
import {groupNumber, userNumber} from '../core/accounts.ts';
import {systemClock} from '../core/clock.ts';
import {CodedError} from '../core/errors.ts';

/** HAProxy's `stats maxconn`. */
const maxClients = 10;

export interface StatsSockets extends AsyncDisposable {
  /** Opens new ones, then closes those that are gone. @throws CodedError ERR_BIND; those that were there stay open then */
  configure(config: Pick<ProcessConfig, 'statsSockets' | 'statsTimeoutMs'>): Promise<void>;
}

interface Wanted {
  readonly socket: StatsSocket;
  readonly prompt: string;
}

function statsAddress({address, mode, user, group}: StatsSocket): StatsAddress {
  if (address.kind !== 'unix') return address;
  return {...address, mode, uid: user === null ? null : userNumber(user), gid: group === null ? null : groupNumber(group)};
}

/** @param master the socket of `-S`, if any */
export function openStatsSockets(control: GatewayControl, master: StatsSocket | null): StatsSockets {
  const open = new Map<Wanted, OpenStatsSocket>();
  const facts: StatsSocketFacts[] = [];

  return {
    async configure({statsSockets, statsTimeoutMs}) {
      const wanted: Wanted[] = [...statsSockets.map((socket) => ({socket, prompt: '> '})), ...(master === null ? [] : [{socket: master, prompt: 'master> '}])];
      const kept = [...open].filter(([before]) => wanted.some((next) => isDeepStrictEqual(next, before)));
      const missing = wanted.filter((next) => !kept.some(([before]) => isDeepStrictEqual(next, before)));
      await using added = new AsyncDisposableStack();
      const fresh: [Wanted, OpenStatsSocket][] = [];
      for (const next of missing) {
        const {socket, prompt} = next;
        const options = {
          address: statsAddress(socket),
          level: socket.level,
          exposesListeners: socket.exposeListeners,
          timeoutMs: statsTimeoutMs,
          maxconn: maxClients,
          prompt,
        };
        fresh.push([next, added.use(await openStatsSocket({...options, control, sockets: facts, clock: systemClock}))]);
      }
      added.move();
      const gone = [...open].filter(([before]) => !kept.some(([same]) => same === before));
      for (const [before] of gone) open.delete(before);
      for (const [next, socket] of fresh) open.set(next, socket);
      facts.splice(0, facts.length, ...[...open.keys()].map(({socket}) => ({address: showStatsAddress(statsAddress(socket)), level: socket.level})));
      for (const [, socket] of gone) await socket[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open.values()) await socket[Symbol.asyncDispose]();
    },
  };
}

/**
 * The value of `-S`: an address, then options of `bind` between commas.
 * @throws CodedError ERR_USAGE
 */
export function parseMasterSocket(text: string): StatsSocket {
  const [address = '', ...options] = text.split(',');
  const socket = {
    address: parseAddress(address),
    level: 'admin' as StatsSocket['level'],
    mode: null as number | null,
    user: null as string | null,
    group: null as string | null,
  };
  const wrong = (found: string): never => {
    throw new CodedError('ERR_USAGE', `Cannot use "${text}" as a master socket: ${found}`, {source: 'client'});
  };
  for (let at = 0; at < options.length; at += 2) {
    const [name = '', value = ''] = options.slice(at, at + 2);
    if (name === 'level' && (value === 'user' || value === 'operator' || value === 'admin')) socket.level = value;
    else if (name === 'mode' && /^[0-7]{3,4}$/.test(value)) socket.mode = Number.parseInt(value, 8);
    else if ((name === 'user' || name === 'uid') && value !== '') socket.user = value;
    else if ((name === 'group' || name === 'gid') && value !== '') socket.group = value;
    else wrong(`unknown option "${name} ${value}"`);
  }
  return {...socket, exposeListeners: false, name: null};
}

function parseAddress(text: string): StatsSocket['address'] {
  const path = text.startsWith('unix@') ? text.slice('unix@'.length) : text;
  if (text.startsWith('abns@')) return {kind: 'unix', path: text.slice('abns@'.length), abstract: true};
  if (/^fd@\d+$/.test(text)) return {kind: 'fd', fd: Number(text.slice('fd@'.length))};
  if (path.startsWith('/')) return {kind: 'unix', path, abstract: false};
  const [, bracketed, host, port] = /^(?:ipv[46]@)?(?:\[([0-9a-fA-F:.]+)\]|([0-9.*]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535) {
    throw new CodedError('ERR_USAGE', `Cannot use "${text}" as a master socket: a path or an address with a port is expected`, {source: 'client'});
  }
  return {kind: 'tcp', host: bracketed ?? (host === '*' ? '' : (host ?? '')), port: Number(port)};
}
