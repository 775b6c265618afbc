/** Constants, variables, and the state of the gateway: HAProxy's manual, section 7.3.2. */
import {randomInt, randomUUID} from 'node:crypto';
import {hostname} from 'node:os';
import type {SampleCall} from '../../config/sample.ts';
import {formatAddress, parseAddress} from './address.ts';
import type {FrontendLoad, Load, SampleContext, SampleValue, Surroundings} from './context.ts';
import {badCall, type Fetch, type FetchBuilder, integerArgument, neededArgument, plain, textArgument} from './fetch.ts';
import {pathAndQuery} from './request-target.ts';
import {boolValue, byteString, intValue, no, textValue, yes} from './value.ts';
import {checkVariableName} from './variables.ts';

function constant(value: SampleValue): Fetch {
  return {one: () => value};
}

function textOrNull(text: string | null | undefined): SampleValue {
  return text === undefined || text === null ? null : textValue(text);
}

const boolConstant: FetchBuilder = (call) => {
  const argument = textArgument(call, 0).toLowerCase();
  if (['true', 'yes', '1', 'on'].includes(argument)) return constant(yes);
  if (['false', 'no', '0', 'off'].includes(argument)) return constant(no);
  throw badCall(call, `"${argument}" is neither true nor false`);
};

function addressConstant(family: 4 | 6): FetchBuilder {
  return (call) => {
    const address = parseAddress(textArgument(call, 0));
    if (address?.family !== family) throw badCall(call, `"${textArgument(call, 0)}" is no IPv${family} address`);
    return constant({type: 'ip', value: formatAddress(address)});
  };
}

const binaryConstant: FetchBuilder = (call) => {
  const digits = textArgument(call, 0);
  if (!/^([0-9A-Fa-f]{2})*$/.test(digits)) throw badCall(call, 'it takes an even number of hexadecimal digits');
  return constant({type: 'bin', value: Buffer.from(digits, 'hex')});
};

const variable: FetchBuilder = (call) => {
  const name = checkVariableName(neededArgument(call, 0, 'the name of a variable'));
  const fallback: SampleValue = call.args.length > 1 ? textValue(textArgument(call, 1)) : null;
  return {one: (context) => context.variables.get(name) ?? fallback};
};

/** Of the moment when the configuration was loaded: what a program's environment says does not change. */
const environmentVariable: FetchBuilder = (call) => {
  const value = process.env[neededArgument(call, 0, 'the name of an environment variable')];
  return constant(value === undefined ? null : textValue(byteString(value)));
};

const unitsPerSecond: Readonly<Record<string, number>> = {'': 1, s: 1, ms: 1000, us: 1_000_000};

const date: FetchBuilder = (call) => {
  const offset = integerArgument(call, 0, 0);
  const factor = unitsPerSecond[textArgument(call, 1)];
  if (factor === undefined) throw badCall(call, `"${textArgument(call, 1)}" is none of s, ms, us`);
  return {one: () => intValue(Math.floor((Date.now() * factor) / 1000) + offset)};
};

const random: FetchBuilder = (call) => {
  const range = integerArgument(call, 0, 2 ** 32);
  if (range < 1 || range > 2 ** 32) throw badCall(call, `a range of ${range} is not between 1 and 4294967296`);
  return {one: () => intValue(randomInt(range))};
};

const uuid: FetchBuilder = (call) => {
  if (integerArgument(call, 0, 4) !== 4) throw badCall(call, 'only version 4 is made');
  return {one: () => textValue(randomUUID())};
};

/** @param ask null: there is no such thing */
function ofName(ask: (surroundings: Surroundings, name: string, context: SampleContext) => number | null): FetchBuilder {
  return (call) => {
    const name = textArgument(call, 0);
    return {
      one(context) {
        const count = ask(context.surroundings, name, context);
        return count === null ? null : intValue(count);
      },
    };
  };
}

/** `backend/server`, or a server of the session's backend, which is `''`. */
function serverArgument(call: SampleCall): readonly [backend: string, server: string] {
  const path = neededArgument(call, 0, 'a server');
  const slash = path.indexOf('/');
  return slash < 0 ? ['', path] : [path.slice(0, slash), path.slice(slash + 1)];
}

const serverIsUp: FetchBuilder = (call) => {
  const [backend, server] = serverArgument(call);
  return {
    one(context) {
      const up = context.surroundings.isServerUp(backend, server);
      return up === null ? null : boolValue(up);
    },
  };
};

/** The values that `capture` took, counted among those of the same direction. */
function captured(of: 'request' | 'response'): FetchBuilder {
  return (call) => {
    const index = integerArgument(call, 0, null);
    return {one: (context) => textOrNull(capturesOf(context, of)[index])};
  };
}

/** In order of their slots; null: nothing was taken. */
export function capturesOf(context: SampleContext, of: 'request' | 'response'): (string | null)[] {
  const found: (string | null)[] = [];
  for (const [slot, capture] of context.connection.frontend.captures.entries()) {
    if (capture.of === of) found.push(context.captures[slot] ?? null);
  }
  return found;
}

function receivedRequest(context: SampleContext): {readonly method: string; readonly uri: string; readonly version: string} | null {
  return context.record?.request ?? context.request;
}

function ofBackend(key: keyof Load): FetchBuilder {
  return ofName((surroundings, name) => surroundings.backendLoad(name)?.[key] ?? null);
}

function ofFrontend(key: keyof FrontendLoad): FetchBuilder {
  return ofName((surroundings, name, context) => surroundings.frontendLoad(name || context.connection.frontend.name)?.[key] ?? null);
}

function ofServer(key: keyof Load): FetchBuilder {
  return (call) => {
    const [backend, server] = serverArgument(call);
    return {
      one({surroundings}) {
        const load = surroundings.serverLoad(backend, server);
        return load === null ? null : intValue(load[key]);
      },
    };
  };
}

/** For each server that can be used, and twice as many as wait where there is none. */
const averageQueue = ofName((surroundings, name) => {
  const load = surroundings.backendLoad(name);
  if (load === null) return null;
  const servers = surroundings.usableServers(name) ?? 0;
  return servers > 0 ? Math.ceil(load.queued / servers) : load.queued * 2;
});

/** How much proxies and servers have to do. */
const loadFetches: Readonly<Record<string, FetchBuilder>> = {
  be_conn: ofBackend('sessions'),
  be_sess_rate: ofBackend('sessionRate'),
  queue: ofBackend('queued'),
  avg_queue: averageQueue,
  fe_conn: ofFrontend('sessions'),
  fe_sess_rate: ofFrontend('sessionRate'),
  srv_conn: ofServer('sessions'),
  srv_queue: ofServer('queued'),
  srv_sess_rate: ofServer('sessionRate'),
};

export const internalFetches: Readonly<Record<string, FetchBuilder>> = {
  always_true: plain(() => yes),
  always_false: plain(() => no),
  str: (call) => constant(textValue(textArgument(call, 0))),
  int: (call) => constant(intValue(integerArgument(call, 0, null))),
  bool: boolConstant,
  ipv4: addressConstant(4),
  ipv6: addressConstant(6),
  bin: binaryConstant,
  meth: (call: SampleCall) => constant({type: 'method', value: neededArgument(call, 0, 'a method')}),
  var: variable,
  env: environmentVariable,
  hostname: plain(() => textValue(hostname())),
  date,
  date_us: plain(() => intValue((Date.now() * 1000) % 1_000_000)),
  rand: random,
  uuid,
  nbsrv: ofName((surroundings, name) => surroundings.usableServers(name)),
  ...loadFetches,
  table_cnt: ofName((surroundings, name) => surroundings.tableSize(name)),
  srv_is_up: serverIsUp,
  fe_name: plain((context) => textValue(context.connection.frontend.name)),
  fe_defbe: plain((context) => textOrNull(context.connection.frontend.defaultBackend || null)),
  be_name: plain((context) => textOrNull(context.backend ?? context.record?.backend)),
  srv_name: plain((context) => textOrNull(context.server ?? context.record?.server)),
  // Ours, for log lines: of a session that was held while its app woke.
  'wake.app': plain((context) => textOrNull(context.record?.wake?.app)),
  'wake.ms': plain((context) => (context.record?.wake === null || context.record?.wake === undefined ? null : intValue(context.record.wake.ms))),
  'wake.trigger': plain((context) => textOrNull(context.record?.wake?.trigger)),
  'unique-id': plain((context) => textOrNull(context.uniqueId)),
  'capture.req.hdr': captured('request'),
  'capture.res.hdr': captured('response'),
  'capture.req.method': plain((context) => textOrNull(receivedRequest(context)?.method)),
  'capture.req.uri': plain((context) => textOrNull(pathAndQuery(receivedRequest(context)?.uri ?? ''))),
  'capture.req.ver': plain((context) => {
    const request = receivedRequest(context);
    return request === null ? null : textValue(`HTTP/${request.version}`);
  }),
  'capture.res.ver': plain((context) => (context.response === null ? null : textValue(`HTTP/${context.response.version}`))),
};
