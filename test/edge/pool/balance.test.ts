import test from 'ava';
import type {Balance} from '../../../src/config/proxy-value.ts';
import {createChooser} from '../../../src/edge/pool/balance.ts';
import {type BalanceRequest, balanceHash} from '../../../src/edge/pool/hash-key.ts';
import type {BalancedServer} from '../../../src/edge/pool/server-choice.ts';

const hash = {kind: 'map-based', function: 'sdbm', avalanche: false} as const;
const request: BalanceRequest = {source: '192.0.2.1', http: null, sample: null};
const untried = {dead: new Set<FakeServer>(), previous: null};

interface FakeServer extends BalancedServer {
  load: number;
  isAwake: boolean;
  maxconn: number;
}

function servers(...weights: readonly number[]): FakeServer[] {
  return weights.map((weight, index) => {
    const server = {
      id: index + 1,
      weight,
      effectiveWeight: weight * 16,
      load: 0,
      isAwake: true,
      maxconn: Number.POSITIVE_INFINITY,
      hasRoom: () => server.load < server.maxconn,
    };
    return server;
  });
}

function chooser(balance: Balance, all: readonly FakeServer[]): () => number {
  const created = createChooser<FakeServer>({balance, hash}, all);
  created.update(all);
  return () => created.choose(request, untried)?.id ?? 0;
}

function take(count: number, choose: () => number): number[] {
  return Array.from({length: count}, choose);
}

test('roundrobin takes turns, in the order of the configuration', (t) => {
  t.deepEqual(take(6, chooser({kind: 'roundrobin'}, servers(1, 1, 1))), [1, 2, 3, 1, 2, 3]);
});

test('roundrobin spreads the turns of a heavy server', (t) => {
  const turns = take(80, chooser({kind: 'roundrobin'}, servers(1, 2, 5)));
  t.deepEqual(
    [1, 2, 3].map((id) => turns.filter((turn) => turn === id).length),
    [10, 20, 50],
  );
  t.false(turns.join('').includes('3333'));
});

test('roundrobin passes over full servers', (t) => {
  const all = servers(1, 1);
  const choose = chooser({kind: 'roundrobin'}, all);
  for (const server of all) if (server.id === 1) Object.assign(server, {maxconn: 0});
  t.deepEqual(take(3, choose), [2, 2, 2]);
  for (const server of all) server.maxconn = 0;
  t.is(choose(), 0);
});

test('leastconn takes the least loaded for its weight, and equals in turn', (t) => {
  const all = servers(1, 1, 4);
  const choose = chooser({kind: 'leastconn'}, all);
  t.deepEqual(take(4, choose), [1, 2, 3, 1]);
  for (const [index, load] of [3, 2, 7].entries()) Object.assign(all[index] ?? {}, {load});
  t.is(choose(), 3);
  Object.assign(all[2] ?? {}, {load: 20});
  t.is(choose(), 2);
});

test('first fills one server after the other, and prefers one that is awake to waking another', (t) => {
  const all = servers(1, 1, 1);
  const choose = chooser({kind: 'first'}, all);
  t.deepEqual(take(3, choose), [1, 1, 1]);
  Object.assign(all[0] ?? {}, {load: 2, maxconn: 2});
  t.is(choose(), 2);
  Object.assign(all[1] ?? {}, {isAwake: false});
  t.is(choose(), 3);
  Object.assign(all[2] ?? {}, {isAwake: false});
  t.is(choose(), 2);
});

test('random with two draws takes the less loaded, and nobody when that is full', (t) => {
  const all = servers(1, 1);
  Object.assign(all[0] ?? {}, {load: 100});
  const turns = take(200, chooser({kind: 'random', draws: 2}, all));
  const toSecond = turns.filter((id) => id === 2).length;
  // Only when both draws hit the first: a quarter of them.
  t.true(toSecond > 110 && toSecond < 190, `${toSecond}`);
  for (const server of all) server.maxconn = 0;
  t.is(chooser({kind: 'random', draws: 1}, all)(), 0);
});

test('a server tried before is taken only when there is no other, a dead one never', (t) => {
  const balances: readonly Balance[] = [{kind: 'roundrobin'}, {kind: 'static-rr'}, {kind: 'leastconn'}, {kind: 'first'}, {kind: 'random', draws: 2}];
  for (const balance of balances) {
    const [first, second] = servers(1, 1);
    if (first === undefined || second === undefined) return t.fail();
    const created = createChooser<FakeServer>({balance, hash}, [first, second]);
    created.update([first, second]);
    for (let count = 0; count < 5; count++) {
      t.is(created.choose(request, {dead: new Set(), previous: first})?.id, 2, balance.kind);
      t.is(created.choose(request, {dead: new Set([second]), previous: first})?.id, 1, balance.kind);
      t.is(created.choose(request, {dead: new Set([first, second]), previous: null}), null, balance.kind);
    }
  }
});

test('a hash without its key takes turns, and a dead server is replaced', (t) => {
  for (const kind of ['map-based', 'consistent'] as const) {
    const all = servers(1, 1, 1);
    const balance: Balance = {kind: 'hdr', header: 'x-user', useDomainOnly: false};
    const created = createChooser<FakeServer>({balance, hash: {...hash, kind}}, all);
    created.update(all);
    t.deepEqual(
      take(3, () => created.choose(request, untried)?.id ?? 0),
      [1, 2, 3],
    );
    const keyed = {...request, http: {uri: '/', headers: [['X-User', 'ann']] as const}};
    const chosen = created.choose(keyed, untried);
    if (chosen === null) return t.fail();
    const other = created.choose(keyed, {dead: new Set([chosen]), previous: null});
    t.true(other !== null && other !== chosen);
    t.is(created.choose(keyed, untried), chosen);
  }
});

test('consistent hashing moves only the keys of the server that has gone', (t) => {
  const all = servers(10, 10, 10, 10);
  const created = createChooser<FakeServer>(
    {balance: {kind: 'uri', length: null, depth: null, whole: false, pathOnly: false}, hash: {...hash, kind: 'consistent', avalanche: true}},
    all,
  );
  const choose = (): number[] => Array.from({length: 300}, (_, at) => created.choose({...request, http: {uri: `/${at}`, headers: []}}, untried)?.id ?? 0);
  created.update(all);
  const before = choose();
  created.update(all.filter(({id}) => id !== 3));
  const after = choose();
  t.true(before.every((id, at) => id === 3 || after[at] === id));
  t.false(after.includes(3));
});

test('samples are hashed as their bytes', (t) => {
  const hashOf = balanceHash({balance: {kind: 'hash', expression: {text: 'src', fetch: {name: 'src', args: []}, converters: []}}, hash});
  const ofSample = (sample: BalanceRequest['sample']): number | null => hashOf?.({...request, sample}) ?? null;
  t.is(ofSample({type: 'str', value: 'abc'}), ofSample({type: 'bin', value: Buffer.from('abc')}));
  t.is(ofSample({type: 'ip', value: '1.2.3.4'}), ofSample({type: 'bin', value: Uint8Array.of(1, 2, 3, 4)}));
  t.is(ofSample({type: 'ip', value: '::ffff:1.2.3.4'}), ofSample({type: 'bin', value: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4)}));
  t.is(ofSample({type: 'int', value: 258}), ofSample({type: 'bin', value: Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2)}));
  t.is(ofSample(null), null);
});

test('use_domain_only hashes the name before the last dot', (t) => {
  const hashOf = (useDomainOnly: boolean): ((host: string) => number | null) => {
    const ofRequest = balanceHash({balance: {kind: 'hdr', header: 'host', useDomainOnly}, hash});
    return (host) => ofRequest?.({...request, http: {uri: '/', headers: [['Host', host]]}}) ?? null;
  };
  const domain = hashOf(true);
  const whole = hashOf(false);
  for (const [host, expected] of [
    ['www.example.com', 'example'],
    ['example.com', 'example'],
    ['a.b.c.org', 'c'],
    ['localhost', 'localhost'],
    ['.com', '.com'],
    ['www.example.com, other', 'example'],
  ] as const) {
    t.is(domain(host), whole(expected), host);
  }
  t.is(domain(''), null);
});
