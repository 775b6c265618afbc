import test from 'ava';
import type {Surroundings, TlsFacts} from '../../../src/edge/samples/context.ts';
import {createProcessVariables, createVariables} from '../../../src/edge/samples/variables.ts';
import {compiler, contextOf, emptySurroundings, evaluate} from './sample-fixture.ts';
import {aclTest, condition, expression} from './sample-text.ts';

const refused: readonly (readonly [string, string])[] = [
  ['nosuch', 'Cannot compile expression "nosuch": there is no fetch "nosuch"'],
  ['path,nosuch', 'Cannot compile expression "path,nosuch": there is no converter "nosuch"'],
  ['hdr(a,0)', 'Cannot compile expression "hdr(a,0)": Cannot use "hdr": occurrences count from 1, or from -1 backwards'],
  ['hdr(a,x)', 'Cannot compile expression "hdr(a,x)": Cannot use "hdr": argument 2 is "x", not an integer'],
  ['path,field(0,/)', 'Cannot compile expression "path,field(0,/)": Cannot use "field": its index counts from 1, or from -1 backwards'],
  [
    'var(name)',
    'Cannot compile expression "var(name)": Cannot use variable "name": a name is such that it begins with proc., sess., txn., req., res. or check., followed by letters, digits, "_" and "."',
  ],
  ['path,regsub((,x)', 'Cannot compile expression "path,regsub((,x)": Cannot compile regular expression "(": Unterminated group'],
  ['sc_http_req_rate(3)', 'Cannot compile expression "sc_http_req_rate(3)": Cannot use "sc_http_req_rate": there is no counter 3, only 0, 1 and 2'],
];

for (const [text, message] of refused) {
  test(`${text} is refused when it is compiled`, (t) => {
    t.throws(() => compiler.compileExpression(expression(text)), {message});
  });
}

const surroundings: Surroundings = {
  ...emptySurroundings,
  usableServers: (backend) => (backend === 'web' ? 2 : backend === '' ? 1 : null),
  isServerUp: (backend, server) => (backend === 'web' ? server === 's1' : null),
  backendLoad: () => ({sessions: 7, queued: 3, sessionRate: 4}),
  serverLoad: (backend, server) => (backend === 'web' && server === 's1' ? {sessions: 6, queued: 2, sessionRate: 1} : null),
  frontendLoad: (frontend) => (frontend === 'fe' ? {sessions: 5, sessionRate: 8} : null),
  authenticate: (list, user, password) => (list === 'users' && user === 'user' && password === 'pass' ? ['admins', 'staff'] : null),
  tableValue: (table, key, what) => (table !== 't' ? null : key?.value !== '192.0.2.1' ? 0 : what === 'http_req_rate' ? 12 : what === 'gpc[2]' ? 13 : null),
  tableSize: () => 3,
  trackedValue: (counter, what) => (counter === 0 && what === 'conn_rate' ? 4 : null),
};

const asked: readonly (readonly [string, number | string | boolean | undefined])[] = [
  ['nbsrv(web)', 2],
  ['nbsrv', 1],
  ['nbsrv(none)', undefined],
  ['queue(web)', 3],
  ['avg_queue(web)', 2],
  ['avg_queue(none)', 6],
  ['be_sess_rate(web)', 4],
  ['fe_sess_rate', 8],
  ['srv_conn(web/s1)', 6],
  ['srv_queue(web/s1)', 2],
  ['srv_sess_rate(web/s2)', undefined],
  ['str(web),nbsrv', 2],
  ['srv_is_up(web/s1)', true],
  ['srv_is_up(web/s2)', false],
  ['srv_is_up(none/s)', undefined],
  ['be_conn(web)', 7],
  ['fe_conn', 5],
  ['table_cnt(t)', 3],
  ['src_http_req_rate(t)', 12],
  ['src_http_req_rate', undefined],
  ['src_get_gpc(2,t)', 13],
  ['src_get_gpc(3,t)', undefined],
  ['src,table_gpc(2,t)', 13],
  ['dst,table_gpc(3,t)', 0],
  ['src,table_http_req_rate(t)', 12],
  ['dst,table_http_req_rate(t)', 0],
  ['sc0_conn_rate', 4],
  ['sc_conn_rate(0)', 4],
  ['sc_conn_rate(1)', undefined],
  ['http_auth(users)', true],
  ['http_auth(others)', false],
  ['http_auth_group(users)', 'user'],
];

for (const [text, wanted] of asked) {
  test(`${text} asks the surroundings`, (t) => {
    const headers = [['Authorization', `Basic ${Buffer.from('user:pass').toString('base64')}`]] as const;
    t.is(evaluate(text, contextOf({surroundings, request: {method: 'GET', uri: '/', version: '1.1', headers, body: null}}))?.value, wanted);
  });
}

test('a group is compared with each that the user is in', (t) => {
  const headers = [['Authorization', `Basic ${Buffer.from('user:pass').toString('base64')}`]] as const;
  const context = contextOf({surroundings, request: {method: 'GET', uri: '/', version: '1.1', headers, body: null}});
  t.true(compiler.compileCondition(condition(aclTest('http_auth_group(users)', 'str', ['staff'])))(context));
  t.false(compiler.compileCondition(condition(aclTest('http_auth_group(users)', 'str', ['user'])))(context));
});

const tls: TlsFacts = {
  version: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  sni: 'a.example',
  alpn: 'h2',
  resumed: true,
  client: {subject: '/C=FR/O=a/b/CN=one/CN=two', issuer: '/CN=ca', fingerprintSha1: 'AB:CD', der: Buffer.from('der'), verified: 18},
};

const overTls: readonly (readonly [string, number | string | boolean | undefined])[] = [
  ['ssl_fc', true],
  ['ssl_fc_sni', 'a.example'],
  ['ssl_fc_alpn', 'h2'],
  ['ssl_fc_protocol', 'TLSv1.3'],
  ['ssl_fc_is_resumed', true],
  ['ssl_c_used', true],
  ['ssl_c_verify', 18],
  ['ssl_c_s_dn(CN)', 'one'],
  ['ssl_c_s_dn(CN,-1)', 'two'],
  ['ssl_c_s_dn(CN,2)', 'two'],
  ['ssl_c_s_dn(O)', 'a/b'],
  ['ssl_c_s_dn(OU)', undefined],
  ['ssl_c_i_dn', '/CN=ca'],
  ['ssl_c_sha1,hex', 'ABCD'],
];

for (const [text, wanted] of overTls) {
  test(`${text} tells of TLS`, (t) => {
    t.is(evaluate(text, contextOf({connection: {...contextOf().connection, tls}}))?.value, wanted);
  });
}

test('a question of DNS has a name and a type, and what is none has neither', (t) => {
  const question = Buffer.from('12340100000100000000000003777777074578616d706c6503636f6d00001c0001', 'hex');
  const connection = {...contextOf().connection, protocol: 'udp'} as const;
  t.is(evaluate('dns_qname', contextOf({connection, payload: question}))?.value, 'www.example.com');
  t.is(evaluate('dns_qtype', contextOf({connection, payload: question}))?.value, 'AAAA');
  for (let length = 0; length < question.length - 2; length++)
    t.is(evaluate('dns_qname', contextOf({connection, payload: question.subarray(0, length)})), null);
  const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
  t.is(evaluate('dns_qname', contextOf({payload: framed}))?.value, 'www.example.com');
});

test('a length and a value are read from where they are told to be', (t) => {
  const payload = Buffer.from('xx\x00\x03abcdef', 'latin1');
  const value = (text: string): string | null => {
    const found = evaluate(text, contextOf({payload}));
    return found?.type === 'bin' ? Buffer.from(found.value).toString('latin1') : null;
  };
  t.is(value('payload_lv(2,2)'), 'abc');
  t.is(value('req.payload_lv(2,2,+1)'), 'bcd');
  t.is(value('req.payload_lv(2,2,0)'), 'xx\0');
  t.is(value('req.payload_lv(2,2,8)'), null);
});

test('variables live as long as their scope, and do not outgrow their bound', (t) => {
  const ofProcess = createProcessVariables();
  const session = createVariables(ofProcess, 1000);
  const first = session.forRequest();
  for (const scope of ['proc', 'sess', 'txn', 'req', 'res']) first.set(`${scope}.a`, {type: 'str', value: scope});
  const second = session.forRequest();
  t.deepEqual(
    ['proc', 'sess', 'txn', 'req', 'res'].map((scope) => second.get(`${scope}.a`)?.value),
    ['proc', 'sess', undefined, undefined, undefined],
  );
  first.clear('req');
  t.is(first.get('req.a'), null);
  t.is(first.get('txn.a')?.value, 'txn');
  first.set('txn.b', {type: 'str', value: 'x'.repeat(2000)});
  t.is(first.get('txn.b'), null);
  first.set('txn.a', {type: 'str', value: 'x'.repeat(500)});
  first.set('res.b', {type: 'str', value: 'x'.repeat(500)});
  t.is(first.get('res.b'), null);
  first.unset('txn.a');
  first.set('res.b', {type: 'str', value: 'x'.repeat(500)});
  t.is(first.get('res.b')?.value, 'x'.repeat(500));
});

test('a converter sets a variable and passes its value on', (t) => {
  const context = contextOf();
  t.is(evaluate('str(a),set-var(txn.x),upper', context)?.value, 'A');
  t.is(evaluate('var(txn.x)', context)?.value, 'a');
});
