import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {bareResolvers, type ResolversConfig} from '../../../src/config/resolvers.ts';
import {systemClock} from '../../../src/core/clock.ts';
import {startDaemon} from '../../../src/core/command.ts';
import {parseResolvConf} from '../../../src/edge/resolvers/resolv-conf.ts';
import {openResolvers, type Watch} from '../../../src/edge/resolvers/resolvers.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {freePort, openTestDns, testZone} from '../dns/dns-fixture.ts';
import {answerTo, openUpstream} from '../dns/upstream-fixture.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

function section(ports: readonly number[], more: Partial<ResolversConfig> = {}): ResolversConfig {
  return {
    ...bareResolvers({name: 'mydns', position}),
    nameservers: ports.map((port) => ({name: `ns${port}`, protocol: 'udp', host: '127.0.0.1', port})),
    timeouts: {resolveMs: 20, retryMs: 60},
    resolveRetries: 2,
    hold: {valid: 20, nx: 0, other: 0, refused: 0, timeout: 0, obsolete: 0},
    acceptedPayloadBytes: 4096,
    ...more,
  };
}

interface Told {
  readonly lists: string[];
  readonly watch: Watch;
}

function told(name: string, {kind = 'address', prefer = 'ipv4'}: Partial<Pick<Watch, 'kind' | 'prefer'>> = {}): Told {
  const lists: string[] = [];
  const onAddresses: Watch['onAddresses'] = (addresses, status) => {
    const texts = addresses.map(({address, port, weight}) => (port === null ? address : `${address}:${port}/${weight ?? ''}`));
    lists.push(`${status} ${texts.join(' ')}`.trim());
  };
  return {lists, watch: {name, kind, prefer, onAddresses}};
}

test('addresses are told once, and again when they change; known ones keep their places', async (t) => {
  let addresses = ['192.0.2.1', '192.0.2.2'];
  await using upstream = await openUpstream((message, send) => {
    const answers = addresses.map((address) => answerTo(message, {address}));
    const [first] = answers;
    if (first === undefined) return;
    const all = Buffer.concat([first, ...answers.slice(1).map((answer) => answer.subarray(-16))]);
    all.writeUInt16BE(answers.length, 6);
    send(all);
  });
  using resolvers = await openResolvers({config: section([upstream.port]), clock: systemClock});
  const app = told('app.example.org');
  using _ = resolvers.watch(app.watch);
  await until(() => upstream.asked.length > 5);
  t.deepEqual(app.lists, ['valid 192.0.2.1 192.0.2.2']);
  addresses = ['192.0.2.3', '192.0.2.2'];
  await until(() => app.lists.length === 2);
  t.is(app.lists[1], 'valid 192.0.2.2 192.0.2.3');
  addresses.reverse();
  const asked = upstream.asked.length;
  await until(() => upstream.asked.length > asked + 3);
  t.is(app.lists.length, 2);
});

test('the last good answer holds while name servers fail, each failure for its own time', async (t) => {
  let mode: 'good' | 'refused' | 'nx' | 'silent' = 'good';
  await using upstream = await openUpstream((message, send) => {
    if (mode === 'good') send(answerTo(message));
    if (mode === 'refused') send(answerTo(message, {bits: 0x8185, count: 0}));
    if (mode === 'nx') send(answerTo(message, {bits: 0x8183, count: 0}));
  });
  const hold = {valid: 20, nx: 0, other: 60_000, refused: 60_000, timeout: 60_000, obsolete: 0};
  using resolvers = await openResolvers({config: section([upstream.port], {hold}), clock: systemClock});
  const app = told('app.example.org');
  using _ = resolvers.watch(app.watch);
  await until(() => app.lists.length === 1);
  for (const failing of ['refused', 'silent'] as const) {
    mode = failing;
    const asked = upstream.asked.length;
    await until(() => upstream.asked.length > asked + 5);
    t.deepEqual(app.lists, ['valid 192.0.2.80']);
  }
  mode = 'nx';
  await until(() => app.lists.length === 2);
  t.is(app.lists[1], 'nx');
  mode = 'good';
  await until(() => app.lists.length === 3);
  t.is(app.lists[2], 'valid 192.0.2.80');
});

test('an address that answers no longer have is kept for hold obsolete', async (t) => {
  let address = '192.0.2.1';
  await using upstream = await openUpstream((message, send) => send(answerTo(message, {address})));
  const hold = {...section([]).hold, obsolete: 300};
  using resolvers = await openResolvers({config: section([upstream.port], {hold}), clock: systemClock});
  const app = told('app.example.org');
  using _ = resolvers.watch(app.watch);
  await until(() => app.lists.length === 1);
  address = '192.0.2.2';
  await until(() => app.lists.length === 3);
  t.deepEqual(app.lists, ['valid 192.0.2.1', 'valid 192.0.2.1 192.0.2.2', 'valid 192.0.2.2']);
});

test('one name server of several is enough, and servers of one name share its questions', async (t) => {
  await using silent = await openUpstream(() => undefined);
  await using good = await openUpstream((message, send) => send(answerTo(message)));
  using resolvers = await openResolvers({config: section([silent.port, good.port], {hold: {...section([]).hold, valid: 60_000}}), clock: systemClock});
  const first = told('app.example.org');
  const second = told('APP.example.org');
  using _first = resolvers.watch(first.watch);
  using _second = resolvers.watch(second.watch);
  await until(() => first.lists.length === 1 && second.lists.length === 1);
  t.is(good.asked.length, 1);
  const late = told('app.example.org');
  using _late = resolvers.watch(late.watch);
  t.deepEqual(late.lists, ['valid 192.0.2.80']);
});

test('the preferred family, the other one when there is none, aliases, and services with their targets', async (t) => {
  await using dns = await openTestDns({zones: [{...testZone, addresses: ['192.0.2.7']}]});
  using resolvers = await openResolvers({config: section([dns.udpPort]), clock: systemClock});
  const cases: readonly (readonly [Told, string])[] = [
    [told('mail.apps.example.com', {prefer: 'ipv6'}), 'valid 2001:db8::25'],
    [told('mail.apps.example.com', {prefer: 'ipv4'}), 'valid 192.0.2.25'],
    [told('blog.apps.example.com', {prefer: 'ipv6'}), 'valid 192.0.2.7'],
    [told('www.apps.example.com'), 'valid 192.0.2.7'],
    [told('_sip._tcp.apps.example.com', {kind: 'service'}), 'valid 192.0.2.25:5060/1'],
    [told('blog.apps.example.com', {kind: 'service'}), 'valid 192.0.2.7:80/1 192.0.2.7:443/1'],
  ];
  using scope = new DisposableStack();
  for (const [{watch}] of cases) scope.use(resolvers.watch(watch));
  await until(() => cases.every(([{lists}]) => lists.length > 0));
  for (const [{lists}, expected] of cases) t.deepEqual(lists, [expected]);
});

test('a real resolver, dnsmasq', async (t) => {
  const port = await freePort('127.0.0.1');
  await using _daemon = await startDaemon(
    [
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      '--bind-interfaces',
      '--listen-address=127.0.0.1',
      `--port=${port}`,
      '--user=root',
      '--group=root',
      '--pid-file=',
      '--host-record=app.example.org,192.0.2.31,2001:db8::31',
      '--srv-host=_web._tcp.example.org,app.example.org,8080,0,25600',
    ],
    {stdio: 'ignore'},
  );
  using resolvers = await openResolvers({config: section([port], {hold: {...section([]).hold, nx: 60_000}}), clock: systemClock});
  const address = told('app.example.org', {prefer: 'ipv6'});
  const service = told('_web._tcp.example.org', {kind: 'service'});
  using _address = resolvers.watch(address.watch);
  using _service = resolvers.watch(service.watch);
  await until(() => address.lists.length > 0 && service.lists.length > 0);
  t.deepEqual([...address.lists, ...service.lists], ['valid 2001:db8::31', 'valid 192.0.2.31:8080/101']);
});

test('answers that are not what they should be: nothing is learned, nothing breaks', async (t) => {
  const spoil: readonly ((answer: Buffer) => Buffer)[] = [
    (answer) => answer.subarray(0, -1),
    (answer) => Buffer.concat([answer.subarray(0, -6), Buffer.from([0xff, 0xff, 1, 2, 3, 4])]),
    (answer) => Buffer.concat([answer.subarray(0, -16), Buffer.from([0xc0, answer.length - 16]), answer.subarray(-14)]),
    (answer) => Buffer.concat([answer.subarray(0, -6), Buffer.from([0, 5, 1, 2, 3, 4, 5])]),
    (answer) => answer.subarray(0, -16),
  ];
  let turn = 0;
  await using upstream = await openUpstream((message, send) => send(spoil[turn++ % spoil.length]?.(answerTo(message)) ?? message));
  using resolvers = await openResolvers({config: section([upstream.port]), clock: systemClock});
  const app = told('app.example.org');
  using _ = resolvers.watch(app.watch);
  await until(() => upstream.asked.length > 15);
  t.deepEqual(app.lists, []);
});

test('name servers of resolv.conf', async (t) => {
  t.deepEqual(
    parseResolvConf('# no\nnameserver 192.0.2.1\n  nameserver 2001:db8::1 # x\nnameserver nonsense\nsearch a\nnameserver 192.0.2.2').map(({host}) => host),
    ['192.0.2.1', '2001:db8::1', '192.0.2.2'],
  );
  await using directory = await temporaryDirectory();
  const empty = join(directory.path, 'resolv.conf');
  await writeFile(empty, 'search example.org\n');
  const config = section([], {parseResolvConf: true});
  await t.throwsAsync(openResolvers({config, clock: systemClock, resolvConf: empty}), {
    code: 'ERR_NO_NAMESERVER',
    message: 'Cannot use resolvers "mydns": no name server is known',
  });
  await t.throwsAsync(openResolvers({config, clock: systemClock, resolvConf: `${empty}.none`}), {code: 'ERR_RESOLV_CONF'});
});
