/** The same keys go to the same servers as in HAProxy: what a client was sent to yesterday by another gateway it is sent to today by this one. */
import test from 'ava';
import type {BackendConfig} from '../../../src/config/proxy-value.ts';
import {createChooser} from '../../../src/edge/pool/balance.ts';
import type {BalanceRequest} from '../../../src/edge/pool/hash-key.ts';
import type {BalancedServer} from '../../../src/edge/pool/server-choice.ts';
import {directoryWithServers, startHaproxy} from './haproxy-reference.ts';

const weights = [10, 20, 30, 1, 7];

interface Variant {
  readonly name: string;
  /** Lines of the backend. */
  readonly lines: string;
  readonly balance: BackendConfig['balance'];
  readonly hash: BackendConfig['hash'];
  /** Servers that are out. */
  readonly disabled?: readonly number[];
}

const functions = ['sdbm', 'djb2', 'wt6', 'crc32'] as const;
const kinds = ['map-based', 'consistent'] as const;

const uri = {kind: 'uri', length: null, depth: null, whole: false, pathOnly: false} as const;
const plain = {kind: 'map-based', function: 'sdbm', avalanche: false} as const;

const balances: readonly {readonly text: string; readonly balance: BackendConfig['balance']}[] = [
  {text: 'uri', balance: uri},
  {text: 'uri whole', balance: {...uri, whole: true}},
  {text: 'uri len 6', balance: {...uri, length: 6}},
  {text: 'uri depth 1', balance: {...uri, depth: 1}},
  {text: 'uri path-only', balance: {...uri, pathOnly: true}},
  {text: 'hdr(host)', balance: {kind: 'hdr', header: 'Host', useDomainOnly: false}},
  // Not `use_domain_only`: HAProxy looks at the byte after the value too, which may be anything.
  {text: 'url_param id', balance: {kind: 'url_param', parameter: 'id'}},
  {text: 'source', balance: {kind: 'source'}},
];

const variants: readonly Variant[] = [
  ...kinds.flatMap((kind) =>
    functions.flatMap((name) =>
      [false, true].map((avalanche) => ({
        name: `uri, ${kind} ${name}${avalanche ? ' avalanche' : ''}`,
        lines: `balance uri\n  hash-type ${kind} ${name}${avalanche ? ' avalanche' : ''}`,
        balance: uri,
        hash: {kind, function: name, avalanche},
      })),
    ),
  ),
  ...balances.map(({text, balance}) => ({name: text, lines: `balance ${text}`, balance, hash: plain})),
  {name: 'source, avalanche', lines: 'balance source\n  hash-type map-based sdbm avalanche', balance: {kind: 'source'}, hash: {...plain, avalanche: true}},
  {
    name: 'source, consistent',
    lines: 'balance source\n  hash-type consistent',
    balance: {kind: 'source'},
    hash: {kind: 'consistent', function: 'sdbm', avalanche: true},
  },
  {name: 'one server out, map-based', lines: 'balance uri\n  hash-type map-based', balance: uri, hash: plain, disabled: [2]},
  {
    name: 'one server out, consistent',
    lines: 'balance uri\n  hash-type consistent',
    balance: uri,
    hash: {kind: 'consistent', function: 'sdbm', avalanche: true},
    disabled: [3],
  },
];

function server(id: number, weight: number): BalancedServer {
  return {id, weight, effectiveWeight: weight * 16, load: 0, isAwake: true, hasRoom: () => true};
}

const keys: readonly {readonly source: string; readonly uri: string; readonly host: string}[] = Array.from({length: 40}, (_, at) => ({
  source: at % 3 === 0 ? `2001:db8::${((at * 7919) % 65_536).toString(16)}` : `192.0.${at % 7}.${(at * 37) % 256}`,
  uri:
    at % 8 === 7
      ? `http://h${at}.example.net/abs/${at}?id=${at}`
      : `/a${(at * at) % 11}/b${at % 5}/page-${at}?x=${at}&id=${'k'.repeat(at % 4)}${(at * 31) % 13}/&z=${'é'.codePointAt(0) ?? 0}`,
  host: at % 8 === 7 ? `h${at}.example.net` : (['localhost', 'example.com', `www.example${at}.com`, `a.b${at}.example.org:8080`, '192.0.2.7'][at % 5] ?? ''),
}));

function section({lines, disabled = []}: Variant, index: number, directory: string): string {
  const servers = weights.map(
    (weight, at) => `  server s${at + 1} unix@${directory}/s${at + 1}.sock weight ${weight}${disabled.includes(at + 1) ? ' disabled' : ''}`,
  );
  return [`listen v${index}`, '  mode http', `  bind unix@${directory}/v${index}.sock accept-proxy`, `  ${lines}`, ...servers].join('\n');
}

test('keys are hashed to the same servers as by HAProxy', async (t) => {
  await using directory = await directoryWithServers(weights.length, (name) => (_request, response) => void response.end(name));
  await using haproxy = await startHaproxy(directory.path, variants.map((variant, index) => section(variant, index, directory.path)).join('\n'));
  for (const [index, variant] of variants.entries()) {
    const servers = weights.map((weight, at) => server(at + 1, weight));
    const chooser = createChooser<BalancedServer>(variant, servers);
    chooser.update(servers.filter(({id}) => !(variant.disabled ?? []).includes(id)));
    const ours = keys.map((key) => {
      const request: BalanceRequest = {source: key.source, http: {uri: key.uri, headers: [['Host', key.host]]}, sample: null};
      return `s${chooser.choose(request, {dead: new Set(), previous: null})?.id ?? 0}`;
    });
    const theirs = await Promise.all(
      keys.map(async (key) => {
        const family = key.source.includes(':') ? 'TCP6' : 'TCP4';
        const proxy = `PROXY ${family} ${key.source} ${family === 'TCP6' ? '::1' : '192.0.2.1'} 4711 80\r\n`;
        const answer = await haproxy.exchange(`v${index}.sock`, `${proxy}GET ${key.uri} HTTP/1.1\r\nHost: ${key.host}\r\nConnection: close\r\n\r\n`);
        return answer.split('\r\n').findLast((line) => /^s\d$/.test(line)) ?? answer;
      }),
    );
    t.deepEqual(ours, theirs, variant.name);
    t.true(new Set(ours).size > 2, `${variant.name}: more than one server`);
  }
});

test('static-rr takes servers in the same order as HAProxy', async (t) => {
  await using directory = await directoryWithServers(weights.length, (name) => (_request, response) => void response.end(name));
  const variant: Variant = {name: 'static-rr', lines: 'balance static-rr', balance: {kind: 'static-rr'}, hash: plain};
  await using haproxy = await startHaproxy(directory.path, section(variant, 0, directory.path));
  const servers = weights.map((weight, at) => server(at + 1, weight));
  const chooser = createChooser<BalancedServer>(variant, servers);
  chooser.update(servers);
  for (let count = 0; count < 80; count++) {
    const answer = await haproxy.exchange('v0.sock', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const id = chooser.choose({source: '192.0.2.1', http: null, sample: null}, {dead: new Set(), previous: null})?.id;
    t.regex(answer, new RegExp(`s${id ?? 0}(\\r\\n|$)`));
  }
});
