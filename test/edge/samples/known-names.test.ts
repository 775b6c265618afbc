/** What the configuration takes, the evaluator can compile. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {converterSpecs} from '../../../src/config/expression/converters.ts';
import {fetchSpecs} from '../../../src/config/expression/fetches.ts';
import type {ArgumentKind, CallSpec} from '../../../src/config/expression/signatures.ts';
import type {SampleCall} from '../../../src/config/sample.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {compiler} from './sample-fixture.ts';

/** Where not any text will do. */
const special: Readonly<Record<string, readonly string[]>> = {
  bin: ['00'],
  bool: ['true'],
  meth: ['GET'],
  ipv6: ['2001:db8::1'],
  'set-var': ['txn.a'],
  'unset-var': ['txn.a'],
  var: ['txn.a'],
  digest: ['sha256'],
  hmac: ['sha256', 'a2V5'],
  secure_memcmp: ['txn.a'],
  add_item: [',', 'txn.a'],
  strcmp: ['txn.a'],
  json_query: ['$.a'],
  mqtt_field_value: ['connect', 'username'],
};
/** Numbers and names of variables are both possible. */
const numeric = new Set(['add', 'sub', 'mul', 'div', 'mod', 'and', 'or', 'xor']);

function call({name, args, required}: CallSpec, map: string): SampleCall {
  const values: Readonly<Record<ArgumentKind, string>> = {
    string: numeric.has(name) ? '1' : 'a',
    int: '1',
    ip: '192.0.2.1',
    mask: '24',
    regex: 'a+',
    map,
    backend: 'b',
    frontend: 'f',
    server: 'b/s',
    table: 't',
    userlist: 'u',
  };
  return {name, args: args.length === 0 ? [] : (special[name] ?? args.slice(0, required).map((kind) => values[kind]))};
}

test('every fetch and every converter that the configuration knows compiles', async (t) => {
  await using directory = await temporaryDirectory();
  const map = join(directory.path, 'map');
  writeFileSync(map, '');
  const refused: string[] = [];
  const compile = (spec: CallSpec, fetch: SampleCall, converters: readonly SampleCall[]): void => {
    try {
      compiler.compileExpression({text: spec.name, fetch, converters});
    } catch (error) {
      refused.push(String(error));
    }
  };
  for (const spec of fetchSpecs) compile(spec, call(spec, map), []);
  for (const spec of converterSpecs) compile(spec, {name: 'str', args: ['a']}, [call(spec, map)]);
  t.deepEqual(refused, []);
  t.true(fetchSpecs.length > 200 && converterSpecs.length > 100);
});
