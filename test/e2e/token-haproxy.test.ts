/** JSON Web Tokens: what the converters find in them and think of their signatures, through Debian's HAProxy and through our program. */
import {createHmac, generateKeyPairSync, type KeyObject, sign} from 'node:crypto';
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const paths = [
  '$.sub',
  '$.n',
  '$.f',
  '$.big',
  '$.small',
  '$.tiny',
  '$.neg',
  '$.yes',
  '$.no',
  '$.nothing',
  '$.list',
  '$.list[0]',
  '$.list[1]',
  '$.list[2].x',
].concat(['$.list[3]', '$.list[9]', '$.o', '$.o.deep[1][0]', '$.latin', '$.wide', '$.quoted', '$.twice', '$.twice.x', '$.huge', '$', '$.after']);
const verified = [
  ...['HS256', 'HS384', 'HS512'].flatMap((name) => [`${name},secret`, `${name},other`]),
  ...['RS256', 'RS384', 'RS512'].flatMap((name) => [`${name},KEYS/rsa.pem`]),
  ...['ES256', 'ES384', 'ES512'].flatMap((name) => [`${name},KEYS/ec.pem`]),
  'none,x',
  'txn.alg,secret',
  'txn.alg,txn.key',
  'txn.unset,secret',
  'HS256,txn.unset',
];
const asked = [
  'http_auth_bearer,length',
  'http_auth_bearer(x-token),length',
  "http_auth_bearer,jwt_header_query('$.alg')",
  ...paths.flatMap((path) => [`http_auth_bearer,jwt_payload_query('${path}')`, `http_auth_bearer,jwt_payload_query('${path}',int)`]),
  ...paths.map((path) => `req.fhdr(x-json),json_query('${path}')`),
  ...verified.map((args) => `http_auth_bearer,jwt_verify(${args})`),
];

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend f
  bind 127.0.0.1:\${FRONT}
  http-request set-var(txn.alg) req.hdr(x-alg)
  http-request set-var(txn.key) req.hdr(x-key)
  http-request return status 200 content-type text/plain lf-string "%[http_auth_bearer,jwt_payload_query]" if { path /whole }
  http-request return status 200 content-type text/plain lf-file \${VALUES}/asked
`;

const payload = `{"sub":"me \\t\\"you\\"", "n":42,"f":1.50 ,"big":123456789,"small":0.00012345678,"tiny":0.00000123,"neg":-7.25e2,"yes":true,"no" : false,
"nothing":null,"list":["zero",1,{"x":"in"},[2]],"o":{"deep":[[],[5]]},"latin":"\\u00e9","wide":"\\u20ac","quoted":"\\/","twice":1,"twice":{"x":2},
"huge":9007199254740993,"cut":`;

function token(header: object, sealed: (text: string) => Buffer): string {
  const text = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${Buffer.from(payload).toString('base64url')}`;
  return `${text}.${sealed(text).toString('base64url')}`;
}

function signed(bits: number, key: KeyObject, dsaEncoding: 'der' | 'ieee-p1363' = 'ieee-p1363'): string {
  return token({alg: `x${bits}`}, (text) => sign(`sha${bits}`, Buffer.from(text), {key, dsaEncoding}));
}

async function ask(twin: Twin, path: string, headers: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const answer = await fetch(`http://127.0.0.1:${twin.port('FRONT')}${path}`, {headers, signal: AbortSignal.timeout(5000)});
  // A byte that is no UTF-8 is to be seen, too.
  return Buffer.from(await answer.arrayBuffer())
    .toString('latin1')
    .split('\n');
}

pairTest('tokens are read and verified as HAProxy does', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const rsa = generateKeyPairSync('rsa', {modulusLength: 2048});
  const ec = generateKeyPairSync('ec', {namedCurve: 'P-256'});
  await writeFile(join(path, 'rsa.pem'), rsa.publicKey.export({type: 'spki', format: 'pem'}));
  await writeFile(join(path, 'ec.pem'), ec.publicKey.export({type: 'spki', format: 'pem'}));
  await writeFile(join(path, 'asked'), asked.map((expression) => `${expression}=%[${expression.replace('KEYS', path)}]`).join('\n'));
  const pair = scope.use(await startPair({configuration, ports: ['FRONT'], values: {VALUES: path}, directory: path}));
  const good = token({alg: 'HS256'}, (text) => createHmac('sha256', 'secret').update(text).digest());
  const tokens: Readonly<Record<string, string>> = {
    ...Object.fromEntries([256, 384, 512].map((bits) => [`hmac ${bits}`, token({}, (text) => createHmac(`sha${bits}`, 'secret').update(text).digest())])),
    ...Object.fromEntries([256, 384, 512].map((bits) => [`rsa ${bits}`, signed(bits, rsa.privateKey)])),
    ...Object.fromEntries([256, 384, 512].map((bits) => [`ec ${bits}`, signed(bits, ec.privateKey)])),
    'ec in DER': signed(256, ec.privateKey, 'der'),
    'ec of an odd length': token({}, () => Buffer.alloc(65, 1)),
    changed: good.replace('.', '.A'),
    unsigned: good.replace(/[^.]*$/, ''),
    'two parts': good.replace(/\.[^.]*$/, ''),
    'four parts': `${good}.a`,
    'not base64': good.replace(/[^.]*$/, '!!!'),
    'one part': 'x',
  };
  const variables = [
    ['RS256', join(path, 'rsa.pem')],
    ['ES256', join(path, 'none.pem')],
    ['PS256', join(path, 'rsa.pem')],
    ['hs256', 'secret'],
  ] as const;
  for (const [name, value] of Object.entries(tokens)) {
    for (const [algorithm, key] of variables) {
      const headers = {
        authorization: `Bearer ${value}`,
        'x-token': `bearer  ${value}`,
        'x-alg': algorithm,
        'x-key': key,
        'x-json': payload.replaceAll('\n', ' '),
      };
      const ours = await ask(pair.picogate, '/', headers);
      t.deepEqual(ours, await ask(pair.haproxy, '/', headers), name);
      if (name === 'hmac 256')
        t.true(ours.includes('http_auth_bearer,jwt_verify(HS256,secret)=1') && ours.includes("http_auth_bearer,jwt_payload_query('$.n',int)=42"));
    }
  }
  // HAProxy's manual says so, and its 2.6 finds nothing. Line ends are encoded in texts of rules.
  t.is((await ask(pair.picogate, '/whole', {authorization: `Bearer ${good}`})).join('\n'), payload.replaceAll('\n', '%0A'));
});
