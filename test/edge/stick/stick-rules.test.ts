import test from 'ava';
import {bareBackend, bareFrontend} from '../../../src/config/proxy-defaults.ts';
import type {StickRule, StickTableConfig} from '../../../src/config/proxy-value.ts';
import type {SampleExpression} from '../../../src/config/sample.ts';
import type {SampleContext} from '../../../src/edge/samples/context.ts';
import {compileStickRules, type StickEvaluator} from '../../../src/edge/stick/stick-rules.ts';
import {openStickTables} from '../../../src/edge/stick/stick-tables.ts';
import {FakeClock} from '../pool/fake-clock.ts';

const position = {file: 'test.cfg', line: 1, column: 1};
const stickTable: StickTableConfig = {type: 'string', keyBytes: 32, size: 100, expireMs: null, noPurge: false, stores: []};
const expression: SampleExpression = {text: 'path', fetch: {name: 'path', args: []}, converters: []};
const ofAnswer: SampleExpression = {text: 'reason', fetch: {name: 'reason', args: []}, converters: []};
const wanted = {unless: false, anyOf: []};

/** Stands for the evaluator of expressions: `path` is the URI, `reason` that of the answer, and a condition holds for GET. */
const evaluator: StickEvaluator = {
  compileCondition: () => (context) => context.request?.method === 'GET',
  compileExpression:
    ({text}) =>
    (context) => {
      const value = text === 'path' ? context.request?.uri : context.response?.reason;
      return value === undefined ? null : {type: 'str', value};
    },
};

function context(uri: string, {method = 'GET', reason = null}: {method?: string; reason?: string | null} = {}): SampleContext {
  const frontend = bareFrontend({name: 'front', position});
  const address = {host: '192.0.2.1', port: 1};
  return {
    connection: {protocol: 'tcp', frontend, source: address, destination: address, receivedProxy: false, tls: null, acceptedAtMs: 0, id: 1},
    payload: new Uint8Array(),
    inspectionEnded: true,
    request: {method, uri, version: '1.1', headers: [], body: null},
    response: reason === null ? null : {status: 200, reason, version: '1.1', headers: []},
    variables: {get: () => null, set: () => true, unset: () => undefined},
    captures: [],
    surroundings: {
      usableServers: () => null,
      isServerUp: () => null,
      backendLoad: () => null,
      serverLoad: () => null,
      frontendLoad: () => null,
      authenticate: () => null,
      tableValue: () => null,
      tableSize: () => null,
      trackedValue: () => null,
      tagTracked: () => false,
    },
  };
}

function rules(...list: readonly Partial<StickRule>[]): {compiled: ReturnType<typeof compileStickRules>; tables: ReturnType<typeof openStickTables>} {
  const stickRules = list.map((rule) => ({kind: 'on', expression, table: null, condition: null, ...rule}) as const);
  const tables = openStickTables({
    proxies: [
      {...bareBackend({name: 'web', position}), stickTable, stickRules},
      {...bareBackend({name: 'other', position}), stickTable},
    ],
    clock: new FakeClock(),
  });
  return {compiled: compileStickRules(stickRules, (name) => tables.get(name ?? 'web'), evaluator), tables};
}

test('stick on: the server that served a key serves it again', (t) => {
  const {compiled, tables} = rules({kind: 'on'});
  const first = compiled.request(context('/a'));
  t.is(first.serverId, null);
  t.is(compiled.request(context('/a')).serverId, null, 'nothing is stored before the server is known to serve');
  compiled.stored(first, 2);
  t.is(compiled.request(context('/a')).serverId, 2);
  t.is(compiled.request(context('/b')).serverId, null);
  compiled.stored(compiled.request(context('/a')), 3);
  t.is(compiled.request(context('/a')).serverId, 3);
  t.is(tables.tableSize('web'), 1);
  t.is(tables.tableValue('web', {type: 'str', value: '/a'}, 'server_id'), 3);
  t.is(tables.tableValue('web', {type: 'str', value: '/b'}, 'server_id'), 0);
  t.is(tables.tableValue('gone', {type: 'str', value: '/a'}, 'server_id'), null);
});

test('match reads, store-request writes, and a condition decides about either', (t) => {
  const {compiled} = rules({kind: 'match', condition: wanted}, {kind: 'store-request'});
  compiled.stored(compiled.request(context('/a', {method: 'POST'})), 4);
  t.is(compiled.request(context('/a')).serverId, 4);
  t.is(compiled.request(context('/a', {method: 'POST'})).serverId, null);
});

test('store-response learns from the answer, in another table too', (t) => {
  const {compiled, tables} = rules({kind: 'match'}, {kind: 'store-response', expression: ofAnswer, condition: wanted});
  compiled.response(context('/x', {reason: '/learned'}), 5);
  compiled.response(context('/x', {reason: '/not', method: 'POST'}), 5);
  t.is(compiled.request(context('/learned')).serverId, 5);
  t.is(compiled.request(context('/not')).serverId, null);
  t.is(tables.tableSize('other'), 0);
});
