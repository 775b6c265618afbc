import test from 'ava';
import type {StickTableConfig} from '../../../src/config/proxy-value.ts';
import type {SampleValue} from '../../../src/edge/samples/context.ts';
import {Frequency} from '../../../src/edge/stick/frequency.ts';
import {setEntry} from '../../../src/edge/stick/set-entry.ts';
import {stickKey} from '../../../src/edge/stick/stick-key.ts';
import {StickTable} from '../../../src/edge/stick/stick-table.ts';
import {Tracking} from '../../../src/edge/stick/tracking.ts';
import {fc} from '../../helpers/properties.ts';
import {FakeClock} from '../pool/fake-clock.ts';
import {tableCommand} from './table-command.ts';

const config: StickTableConfig = {
  type: 'ip',
  keyBytes: 0,
  size: 3,
  expireMs: 30_000,
  noPurge: false,
  stores: [
    {what: 'http_req_cnt', periodMs: null},
    {what: 'conn_cnt', periodMs: null},
    {what: 'conn_rate', periodMs: 10_000},
    {what: 'conn_cur', periodMs: null},
    {what: 'bytes_in_rate', periodMs: 5000},
    {what: 'gpc0', periodMs: null},
  ],
};

function table(settings: Partial<StickTableConfig> = {}, clock = new FakeClock()): StickTable {
  return new StickTable({name: 'web', config: {...config, ...settings}, clock, forPersistence: false});
}

const keysOf = (from: StickTable): string[] => Array.from(from.entries(), ({key}) => key);

test('a rate is of the last period: all of this one, and the share of the one before', (t) => {
  const rate = new Frequency(1000);
  t.is(rate.read(0), 0);
  for (let count = 0; count < 10; count++) rate.add(1, 100);
  t.is(rate.read(100), 10);
  t.is(rate.read(1099), 10);
  t.is(rate.read(1600), 5);
  rate.add(4, 1600);
  t.is(rate.read(1600), 9);
  t.is(rate.read(2100), 4);
  t.is(rate.read(2600), 2);
  t.is(rate.read(3099), 0);
  t.is(rate.read(9000), 0);
  rate.add(7, 9000);
  t.is(rate.read(9000), 7);
});

test('a rate never tells more than happened in two periods, nor less than in the running one', (t) => {
  fc.assert(
    fc.property(fc.array(fc.record({afterMs: fc.nat(2500), count: fc.nat(100)}), {maxLength: 50}), (events) => {
      const rate = new Frequency(1000);
      let nowMs = 0;
      const seen: {atMs: number; count: number}[] = [];
      for (const {afterMs, count} of events) {
        nowMs += afterMs;
        rate.add(count, nowMs);
        seen.push({atMs: nowMs, count});
        const within = (ms: number): number => seen.filter(({atMs}) => atMs > nowMs - ms).reduce((sum, event) => sum + event.count, 0);
        if (rate.read(nowMs) > within(2000) || rate.read(nowMs) < count) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('keys of each type', (t) => {
  const cases: readonly [StickTableConfig['type'], SampleValue, string | null][] = [
    ['ip', {type: 'ip', value: '192.0.2.1'}, '192.0.2.1'],
    ['ip', {type: 'ip', value: '::ffff:192.0.2.1'}, '192.0.2.1'],
    ['ip', {type: 'ip', value: '2001:db8::1'}, null],
    ['ip', {type: 'str', value: '192.0.2.1'}, '192.0.2.1'],
    ['ip', {type: 'str', value: 'x'}, null],
    ['ip', {type: 'int', value: 0xc0000201}, '192.0.2.1'],
    ['ipv6', {type: 'ip', value: '2001:DB8:0::1'}, '2001:db8::1'],
    ['ipv6', {type: 'ip', value: '192.0.2.1'}, '::ffff:192.0.2.1'],
    ['integer', {type: 'int', value: -1}, '4294967295'],
    ['integer', {type: 'str', value: '42'}, '42'],
    ['integer', {type: 'str', value: '42x'}, null],
    ['integer', {type: 'ip', value: '0.0.1.2'}, '258'],
    ['integer', {type: 'bool', value: true}, '1'],
    ['string', {type: 'str', value: 'abcdefghij'}, 'abcdef'],
    ['string', {type: 'method', value: 'GET'}, 'GET'],
    ['string', {type: 'int', value: 7}, '7'],
    ['binary', {type: 'bin', value: Uint8Array.of(1, 255)}, '01ff00000000'],
    ['binary', {type: 'str', value: 'abcdefghij'}, '616263646566'],
    ['binary', {type: 'int', value: 258}, '000000000000'],
    ['string', null, null],
  ];
  for (const [type, sample, expected] of cases) t.is(stickKey({type, keyBytes: 6}, sample), expected, `${type} of ${JSON.stringify(sample)}`);
});

test('any sample is a key or none, and never an exception', (t) => {
  const types = ['ip', 'ipv6', 'integer', 'string', 'binary'] as const;
  const sample = fc.oneof(
    fc.record({type: fc.constantFrom('str' as const, 'ip' as const, 'method' as const), value: fc.string()}),
    fc.record({type: fc.constant('int' as const), value: fc.maxSafeInteger()}),
    fc.record({type: fc.constant('bin' as const), value: fc.uint8Array()}),
  );
  fc.assert(
    fc.property(sample, fc.constantFrom(...types), (value, type) => {
      const key = stickKey({type, keyBytes: 8}, value);
      return key === null || type === 'ip' || type === 'ipv6' || type === 'integer' || key.length <= 16;
    }),
  );
  t.pass();
});

test('a full table forgets what was used longest ago, but not what is tracked', (t) => {
  const web = table();
  using tracking = new Tracking();
  tracking.track(0, {table: web, key: '192.0.2.1', of: 'connection'});
  for (const key of ['192.0.2.2', '192.0.2.3', '192.0.2.2', '192.0.2.4']) web.use(key);
  t.deepEqual(keysOf(web).sort(), ['192.0.2.1', '192.0.2.2', '192.0.2.4']);
});

test('with nopurge a full table takes nothing new', (t) => {
  const web = table({noPurge: true, size: 1});
  t.not(web.use('192.0.2.1'), null);
  t.is(web.use('192.0.2.2'), null);
  using tracking = new Tracking();
  tracking.track(0, {table: web, key: '192.0.2.2', of: 'connection'});
  t.is(tracking.value(0, 'conn_cnt'), null);
  t.deepEqual(keysOf(web), ['192.0.2.1']);
});

test('entries expire after their last use, and their memory is given back', async (t) => {
  const clock = new FakeClock();
  const web = table({}, clock);
  web.use('192.0.2.1');
  await clock.advance(20_000);
  web.use('192.0.2.2');
  await clock.advance(9_999);
  t.is(web.used, 2);
  await clock.advance(1);
  t.is(web.find('192.0.2.1'), null);
  await clock.advance(23_000);
  t.is(web.used, 0);
  t.is(clock.pending, 0);
});

test('what a session tracks counts what it does, and stays while it lasts', async (t) => {
  const clock = new FakeClock();
  const web = table({}, clock);
  const tracking = new Tracking();
  tracking.track(0, {table: web, key: '192.0.2.1', of: 'request'});
  tracking.track(0, {table: web, key: '192.0.2.9', of: 'request'});
  tracking.track(7, {table: web, key: '192.0.2.9', of: 'request'});
  tracking.httpRequest();
  tracking.bytesIn(114);
  tracking.add(0, 'gpc0', 2);
  t.deepEqual(
    ['conn_cnt', 'conn_cur', 'conn_rate', 'http_req_cnt', 'bytes_in_rate', 'gpc0', 'gpt0', 'tracked'].map((what) => tracking.value(0, what)),
    [1, 1, 1, 2, 114, 2, null, 1],
  );
  t.is(tracking.value(1, 'conn_cnt'), null);
  await clock.advance(100_000);
  t.is(web.used, 1);
  tracking[Symbol.dispose]();
  tracking[Symbol.dispose]();
  const entry = web.find('192.0.2.1');
  t.is(entry?.references, 0);
  t.is(entry === null ? null : web.read(entry, 'conn_cur'), 0);
});

test('show table has HAProxy’s form, with filters on keys and data', async (t) => {
  const clock = new FakeClock();
  const web = table({}, clock);
  setEntry(web, '192.0.2.1', {http_req_cnt: 3, conn_cnt: 3, gpc0: 1});
  setEntry(web, '192.0.2.2', {http_req_cnt: 1, conn_rate: 9});
  const head = '# table: web, type: ip, size:3, used:2';
  const first = 'key=192.0.2.1 use=0 exp=30000 gpc0=1 conn_cnt=3 conn_rate(10000)=0 conn_cur=0 http_req_cnt=3 bytes_in_rate(5000)=0';
  const second = 'key=192.0.2.2 use=0 exp=30000 gpc0=0 conn_cnt=0 conn_rate(10000)=9 conn_cur=0 http_req_cnt=1 bytes_in_rate(5000)=0';
  const show = async (args: string): Promise<readonly string[]> =>
    (await tableCommand(web, clock, {verb: 'show', args})).map((line) => line.replace(/^0x[0-9a-f]+: /, ''));
  t.deepEqual(await show(''), [head, first, second]);
  t.deepEqual(await show('key 192.0.2.2'), [head, second]);
  t.deepEqual(await show('key 192.0.2.3'), []);
  t.deepEqual(await show('data.http_req_cnt gt 1'), [head, first]);
  t.deepEqual(await show('data.http_req_cnt gt 1 data.conn_cnt ne 3'), [head]);
  await t.throwsAsync(show('data.gpt0 eq 1'), {code: 'ERR_COMMAND_REFUSED', message: /Data type not stored/});
  t.throws(() => setEntry(web, 'x', {}), {code: 'ERR_STICK_KEY', message: 'Cannot look up key "x" in table "web": it is no ip'});
  t.throws(() => setEntry(web, '192.0.2.5', {gpc0: 1, gpc1: 1}), {
    code: 'ERR_STICK_DATA',
    message: 'Cannot use data "gpc1" of table "web": it does not store that',
  });
  t.is(web.used, 2);
});

test('clear table leaves what is in use', async (t) => {
  const clock = new FakeClock();
  const web = table({}, clock);
  using tracking = new Tracking();
  tracking.track(0, {table: web, key: '192.0.2.1', of: 'connection'});
  setEntry(web, '192.0.2.2', {gpc0: 1});
  await tableCommand(web, clock, {verb: 'clear'});
  t.deepEqual(keysOf(web), ['192.0.2.1']);
});

test('a key that a client chose is shown on one line', async (t) => {
  const clock = new FakeClock();
  const names = table({type: 'string', keyBytes: 40}, clock);
  names.use('a\n# table: b\\');
  t.regex((await tableCommand(names, clock, {verb: 'show'})).join(), /key=a\\x0a# table: b\\x5c use=0/);
});
