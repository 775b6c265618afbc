/** What operators do through the runtime API while connections go on: the program, real servers, and `socat`. */
import {X509Certificate} from 'node:crypto';
import {once} from 'node:events';
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {connect as connectTls, type TLSSocket} from 'node:tls';
import test, {type ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {type TestServer, testClient, testServer} from '../edge/edge-fixture.ts';
import {makeTestAuthority, makeTestCertificate, openssl} from '../edge/tls/certificates.ts';
import {type DropInProgram, dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {haproxyColumns, parseStat, type StatLine} from './stat-table.ts';

interface Lab {
  readonly program: DropInProgram;
  readonly directory: string;
  readonly front: number;
  readonly secure: number;
  readonly servers: Readonly<Record<'a' | 'b' | 'c', TestServer>>;
  /** One command, as operators send it. */
  ask(command: string): Promise<string>;
  stat(row: string): Promise<StatLine>;
  /** The server that a new session reaches; the code of the error, or `closed`, when it reaches none. */
  reached(): Promise<string>;
}

/** Says its name, then what it hears. */
const named = (t: ExecutionContext, name: string): Promise<TestServer> =>
  testServer((socket) => {
    socket.write(name);
    socket.pipe(socket);
  }).then((server) => {
    t.teardown(() => server[Symbol.asyncDispose]());
    return server;
  });

async function openLab(t: ExecutionContext): Promise<Lab> {
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const servers = {a: await named(t, 'a'), b: await named(t, 'b'), c: await named(t, 'c')};
  const [front, secure] = [await freePort(), await freePort()];
  await writeFile(join(directory, 'where.map'), '# client backend\n');
  await writeFile(join(directory, 'blocked.lst'), '');
  await makeTestCertificate(directory, {file: 'site.pem', names: ['first.test']});
  const socket = join(directory, 'stats.sock');
  const program = await dropInProgram(
    t,
    `global
  stats socket ${socket} mode 600 level admin
  maxconn 50
frontend front
  bind 127.0.0.1:${front}
  tcp-request connection reject if { src -f ${directory}/blocked.lst }
  use_backend %[src,map(${directory}/where.map,web)]
  default_backend web
frontend secure
  bind 127.0.0.1:${secure} ssl crt ${directory}/site.pem
  default_backend web
backend web
  stick-table type ip size 100 expire 1m store conn_cnt,conn_rate(10s)
  server a 127.0.0.1:${servers.a.port} weight 10
  server b 127.0.0.1:${servers.b.port} weight 10
backend other
  server c 127.0.0.1:${servers.c.port}
`,
  );
  const ask = async (command: string): Promise<string> =>
    (await run(['socat', '-', `UNIX-CONNECT:${socket}`], {input: `${command}\n`, timeoutMs: 10_000})).stdout;
  return {
    program,
    directory,
    front,
    secure,
    servers,
    ask,
    async stat(row) {
      const found = parseStat(await ask('show stat')).get(row);
      if (found === undefined) throw new Error(`no row ${row}`);
      return found;
    },
    async reached() {
      using client = await testClient(front);
      const end = {how: ''};
      void Promise.race([client.over, client.ended]).then((code) => {
        end.how = code === undefined || code === '' ? 'closed' : code;
      });
      await until(() => client.text() !== '' || end.how !== '', {what: 'a server, or the end'});
      return client.text() === '' ? end.how : client.text();
    },
  };
}

async function reachedBy(lab: Lab, count: number): Promise<string> {
  const names: string[] = [];
  for (let at = 0; at < count; at++) names.push(await lab.reached());
  return names.sort().join('');
}

test('show stat tells the traffic, in the columns that exporters know', async (t) => {
  const lab = await openLab(t);
  using one = await testClient(lab.front);
  one.socket.write('12345');
  await until(() => one.text().length === 6);
  t.is((await reachedBy(lab, 3)).length, 3);
  await until(async () => (await lab.stat('front/FRONTEND')).scur === '1');
  const csv = await lab.ask('show stat');
  t.deepEqual(csv.split('\n', 1)[0]?.slice(2).split(',-,')[0]?.split(','), haproxyColumns.split(' '));
  const rows = parseStat(csv);
  t.like(rows.get('front/FRONTEND'), {scur: '1', stot: '4', conn_tot: '4', status: 'OPEN', type: '0', mode: 'tcp', bin: '5', bout: '9', dcon: '0'});
  t.true(Number(rows.get('front/FRONTEND')?.smax) >= 1);
  t.true(Number(rows.get('front/FRONTEND')?.rate_max) >= 1);
  t.like(rows.get('web/BACKEND'), {scur: '1', stot: '4', lbtot: '4', status: 'UP', type: '1', act: '2', bck: '0', weight: '20', algo: 'roundrobin', econ: '0'});
  t.like(rows.get('web/a'), {status: 'no check', type: '2', sid: '1', addr: `127.0.0.1:${lab.servers.a.port}`, weight: '10', act: '1', lastsess: '0'});
  t.is(Number(rows.get('web/a')?.stot) + Number(rows.get('web/b')?.stot), 4);
  t.is(Number(rows.get('web/a')?.scur) + Number(rows.get('web/b')?.scur), 1);
  t.is(rows.get('secure/FRONTEND')?.stot, '0');
  t.like(Object.fromEntries((await lab.ask('show info')).split('\n').map((line) => line.split(': '))), {CurrConns: '1', CumConns: '4', Maxconn: '50'});

  await lab.ask('clear counters');
  t.like(await lab.stat('front/FRONTEND'), {stot: '4', smax: '1', rate_max: '0'});
  await lab.ask('clear counters all');
  t.like(await lab.stat('front/FRONTEND'), {scur: '1', stot: '0', smax: '1', bin: '0', conn_tot: '0'});
  t.like(await lab.stat('web/BACKEND'), {scur: '1', stot: '0', smax: '1', lastsess: '-1', lbtot: '0'});
});

test('a server that cannot be connected to is counted as HAProxy counts it', async (t) => {
  const lab = await openLab(t);
  await lab.ask('set server web/b state maint');
  await lab.ask(`set server web/a addr 127.0.0.1 port ${await freePort()}`);
  t.is(await lab.reached(), 'closed');
  await until(async () => (await lab.stat('web/BACKEND')).scur === '0');
  t.like(await lab.stat('web/BACKEND'), {econ: '1', wretr: '3', status: 'UP'});
});

test('weight, drain, maint and ready choose where new sessions go; those of before go on', async (t) => {
  const lab = await openLab(t);
  t.is(await reachedBy(lab, 4), 'aabb');
  t.is(await lab.ask('set server web/b weight 0'), '\n');
  t.is(await lab.ask('get weight web/b'), '0 (initial 10)\n\n');
  t.is(await reachedBy(lab, 3), 'aaa');
  t.is(await lab.ask('set server web/b weight 100%'), '\n');
  using kept = await testClient(lab.front);
  await until(() => kept.text() !== '');
  const [mine = '', other = ''] = kept.text() === 'a' ? 'ab' : 'ba';
  await lab.ask(`set server web/${mine} state drain`);
  t.is((await lab.stat(`web/${mine}`)).status, 'DRAIN');
  t.is(await reachedBy(lab, 3), other.repeat(3));
  await lab.ask(`set server web/${mine} state maint`);
  t.is((await lab.stat(`web/${mine}`)).status, 'MAINT');
  kept.socket.write('!');
  await until(() => kept.text() === `${mine}!`, {what: 'the session of before'});
  await lab.ask(`disable server web/${other}`);
  t.is((await lab.stat('web/BACKEND')).status, 'DOWN');
  t.is(await lab.reached(), 'closed');
  await lab.ask('set server web/a state ready');
  await lab.ask('enable server web/b');
  t.is(await reachedBy(lab, 4), 'aabb');
  t.like(await lab.stat('web/BACKEND'), {status: 'UP', chkdown: '1'});
  t.is(await lab.ask(`set server web/${mine} addr 127.0.0.1 port ${lab.servers.c.port}`).then((answer) => answer.includes('port changed')), true);
  await lab.ask(`disable server web/${other}`);
  t.is(await reachedBy(lab, 2), 'cc');
});

test('a server that is added takes sessions when it is enabled, is checked, and can be deleted when it has none', async (t) => {
  const lab = await openLab(t);
  const port = String(lab.servers.c.port);
  t.is(await lab.ask(`add server web/new 127.0.0.1:${port} weight 10 check inter 50ms fall 1 rise 1 maxconn 5`), 'New server registered.\n\n');
  t.like(await lab.stat('web/new'), {status: 'MAINT', sid: '3', weight: '10', slim: '5'});
  t.is(await reachedBy(lab, 4), 'aabb');
  t.is(await lab.ask('enable server web/new'), '\n');
  t.is(await reachedBy(lab, 3), 'abc');
  t.is(await lab.ask('enable health web/new'), '\n');
  await until(async () => (await lab.stat('web/new')).check_status === 'L4OK', {what: 'a check'});

  using kept = await testClient(lab.front);
  await lab.ask('disable server web/a');
  await lab.ask('disable server web/b');
  using other = await testClient(lab.front);
  await until(() => other.text() === 'c', {what: 'a session of the new server'});
  t.is(await lab.ask('del server web/new'), 'Only servers in maintenance mode can be deleted.\n');
  await lab.ask('disable server web/new');
  t.is(await lab.ask('del server web/new'), 'Server still has connections attached to it, cannot remove it.\n');
  for (const client of [kept, other]) client.socket.destroy();
  await until(async () => (await lab.stat('web/new')).scur === '0', {what: 'its sessions to end'});
  t.is(await lab.ask('del server web/new'), 'Server deleted.\n');
  await lab.ask('enable server web/a');
  await lab.ask('enable server web/b');
  t.is(await reachedBy(lab, 4), 'aabb');
  t.false((await lab.ask('show servers state web')).includes('new'));

  for (const [command, answer] of [
    ['add server web/x 127.0.0.1:80 wieght 3', "unknown option 'wieght' of 'server'; did you mean 'weight' maybe ?"],
    ["add server web/x 127.0.0.1:80'", ''],
    ['add server web/x app:wiki:80', 'app'],
    ['add server web/a 127.0.0.1:80', 'Already exists a server with the same name in backend.'],
  ] as const) {
    const said = await lab.ask(command);
    t.true(said.includes(answer) && !said.includes('registered'), `${command}: ${said}`);
  }
  t.is(await reachedBy(lab, 2), 'ab');
});

test('sessions are listed with numbers that stay, and ended one by one or by server', async (t) => {
  const lab = await openLab(t);
  await lab.ask('disable server web/b');
  using first = await testClient(lab.front);
  using second = await testClient(lab.front);
  using third = await testClient(lab.front);
  await until(() => [first, second, third].every((client) => client.text() === 'a'));
  const line = async (port: number | undefined): Promise<string> =>
    (await lab.ask('show sess')).split('\n').find((text) => text.includes(`src=127.0.0.1:${port} `)) ?? '';
  const shown = await line(second.socket.localPort);
  t.regex(shown, /^0x[0-9a-f]+: proto=tcpv4 src=127\.0\.0\.1:\d+ fe=front be=web srv=a /);
  const [id = ''] = shown.split(':');
  t.is(await lab.ask(`shutdown session ${id}`), '\n');
  t.is(await second.ended, 'a');
  t.is(await line(second.socket.localPort), '');
  third.socket.write('?');
  await until(() => third.text() === 'a?', {what: 'the other sessions'});
  t.is((await lab.stat('web/a')).scur, '2');
  t.is(await lab.ask('shutdown sessions server web/a'), '\n');
  t.deepEqual(await Promise.all([first.ended, third.ended]), ['a', 'a?']);
  await until(async () => (await lab.stat('web/a')).scur === '0');
});

test('entries of maps and lists take effect at once', async (t) => {
  const lab = await openLab(t);
  const map = `${lab.directory}/where.map`;
  t.regex(await lab.ask('show map'), new RegExp(`^\\d+ \\(${map}\\) pattern loaded from file`, 'm'));
  t.is(await lab.ask(`add map ${map} 127.0.0.1 other`), '\n');
  t.is(await lab.reached(), 'c');
  t.regex(await lab.ask(`get map ${map} 127.0.0.1`), /found=yes.*value="other"/);
  const [, id = ''] = /^(0x[0-9a-f]+) 127\.0\.0\.1 other$/m.exec(await lab.ask(`show map ${map}`)) ?? [];
  t.is(await lab.ask(`set map ${map} #${id} web`), '\n');
  t.not(await lab.reached(), 'c');
  t.is(await lab.ask(`set map ${map} 127.0.0.1 other`), '\n');
  t.is(await lab.reached(), 'c');
  t.is(await lab.ask(`del map ${map} #${id}`), '\n');
  t.not(await lab.reached(), 'c');
  const list = `${lab.directory}/blocked.lst`;
  t.is(await lab.ask(`add acl ${list} 127.0.0.0/8`), '\n');
  t.is(await lab.reached(), 'ECONNRESET');
  t.is((await lab.stat('front/FRONTEND')).dcon, '1');
  t.regex(await lab.ask(`get acl ${list} 127.1.2.3`), /match=yes/);
  t.regex(await lab.ask(`add acl ${list} nonsense`), /nonsense/);
  t.is(await lab.ask(`clear acl ${list}`), '\n');
  t.regex(await lab.reached(), /^[ab]$/);
});

test('entries of stick tables are set, shown and cleared', async (t) => {
  const lab = await openLab(t);
  t.is(await lab.ask('show table'), '# table: web, type: ip, size:100, used:0\n\n');
  t.is(await lab.ask('set table web key 192.0.2.1 data.conn_cnt 7 data.conn_rate 3'), '\n');
  t.regex(await lab.ask('show table web'), /used:1\n0x[0-9a-f]+: key=192\.0\.2\.1 use=0 exp=\d+ conn_cnt=7 conn_rate\(10000\)=[23]\n\n$/);
  t.regex(await lab.ask('show table web data.conn_cnt gt 6'), /key=192\.0\.2\.1/);
  t.notRegex(await lab.ask('show table web data.conn_cnt gt 7'), /key=/);
  t.regex(await lab.ask('set table web key nonsense data.conn_cnt 1'), /nonsense/);
  t.is(await lab.ask('clear table web key 192.0.2.1'), '\n');
  t.notRegex(await lab.ask('show table web'), /key=/);
});

async function tlsClient(port: number): Promise<TLSSocket> {
  const socket = connectTls({port, host: '127.0.0.1', servername: 'first.test', rejectUnauthorized: false});
  await once(socket, 'secureConnect');
  return socket;
}

test('a certificate is replaced while connections go on', async (t) => {
  const lab = await openLab(t);
  const path = `${lab.directory}/site.pem`;
  const authority = await makeTestAuthority(lab.directory);
  const next = await makeTestCertificate(lab.directory, {
    file: 'next.pem',
    names: ['first.test', 'second.test'],
    subject: '/O=A, b/CN=second.test',
    key: 'rsa',
    by: authority,
  });
  const served = async (): Promise<string> =>
    (await run(['openssl', 's_client', '-connect', `127.0.0.1:${lab.secure}`, '-servername', 'first.test'], {timeoutMs: 10_000})).stdout;
  const kept = await tlsClient(lab.secure);
  t.teardown(() => kept.destroy());
  let heard = '';
  kept.on('data', (data: Buffer) => {
    heard += data.toString();
  });
  t.is((await lab.ask('show info')).match(/^CurrSslConns: (\d+)$/m)?.[1], '1');
  t.regex(await served(), /subject=CN = first\.test/);

  const pem = `${await readFile(next.pemFile, 'utf8')}${await readFile(authority.certificateFile, 'utf8')}`;
  t.is(await lab.ask(`set ssl cert ${path} <<\n${pem}`), `Transaction created for certificate ${path}!\n\n`);
  t.regex(await lab.ask('show ssl cert'), new RegExp(`^# transaction\n\\*${path}\n# filename\n${path}\n`));
  t.regex(await lab.ask(`show ssl cert *${path}`), /^Status: Unused$/m);
  t.regex(await served(), /subject=CN = first\.test/);
  t.is(await lab.ask(`commit ssl cert ${path}`), `Committing ${path}.\nSuccess!\n\n`);
  t.regex(await served(), /subject=O = "A, b", CN = second\.test/);

  const leaf = new X509Certificate(pem);
  const [, serial = ''] = (await openssl('x509', '-in', next.pemFile, '-noout', '-serial')).trim().split('=');
  t.is(
    await lab.ask(`show ssl cert ${path}`),
    [
      `Filename: ${path}`,
      'Status: Used',
      `Serial: ${serial}`,
      `notBefore: ${leaf.validFrom}`,
      `notAfter: ${leaf.validTo}`,
      'Subject Alternative Name: DNS:first.test, DNS:second.test',
      'Algorithm: RSA2048',
      `SHA1 FingerPrint: ${leaf.fingerprint.replaceAll(':', '')}`,
      'Subject: /O=A, b/CN=second.test',
      'Issuer: /CN=authority of a test',
      'Chain Subject: /CN=authority of a test',
      'Chain Issuer: /CN=authority of a test',
      'OCSP Response Key: ',
      '',
      '',
    ].join('\n'),
  );
  kept.write('still here');
  await until(() => heard.endsWith('still here'), {what: 'the connection of before'});
  t.regex(await lab.ask('set ssl cert /no/such.pem <<\nnothing\n'), /^Can't replace a certificate which is not referenced by the configuration!/);
});

test('a frontend is paused, limited and shut down', async (t) => {
  const lab = await openLab(t);
  using kept = await testClient(lab.front);
  await until(() => kept.text() !== '');
  t.is(await lab.ask('disable frontend front'), '\n');
  t.is((await lab.stat('front/FRONTEND')).status, 'PAUSED');
  t.is(await lab.reached(), 'ECONNREFUSED');
  kept.socket.write('!');
  await until(() => kept.text().endsWith('!'), {what: 'the session of before'});
  t.is(await lab.ask('enable frontend front'), '\n');
  t.regex(await lab.reached(), /^[ab]$/);

  t.is(await lab.ask('set maxconn frontend front 1'), '\n');
  await until(async () => (await lab.stat('front/FRONTEND')).scur === '1');
  t.like(await lab.stat('front/FRONTEND'), {status: 'FULL', slim: '1'});
  using waiting = await testClient(lab.front);
  t.is((await lab.stat('front/FRONTEND')).scur, '1');
  t.is(waiting.text(), '');
  t.is(await lab.ask('set maxconn frontend front 20'), '\n');
  await until(() => waiting.text() !== '', {what: 'the client that waited'});

  t.is(await lab.ask('set maxconn global 2'), '\n');
  t.regex(await lab.ask('show info'), /^Maxconn: 2$/m);
  using another = await testClient(lab.front);
  t.is((await lab.stat('front/FRONTEND')).status, 'FULL');
  t.is(another.text(), '');
  waiting.socket.destroy();
  await until(() => another.text() !== '', {what: 'the client that waited for the process'});

  t.is(await lab.ask('shutdown frontend front'), '\n');
  t.is((await lab.stat('front/FRONTEND')).status, 'STOP');
  t.is(await lab.reached(), 'ECONNREFUSED');
  t.regex(await lab.ask('enable frontend front'), /previously shut down/);
});

test('the statistics begin anew with another configuration, and sessions of before stay listed', async (t) => {
  const lab = await openLab(t);
  using kept = await testClient(lab.front);
  await until(() => kept.text() !== '');
  t.regex(await lab.program.ask('reload'), /Success=1/);
  t.like(await lab.stat('front/FRONTEND'), {scur: '0', stot: '0'});
  t.regex(await lab.ask('show sess'), new RegExp(`src=127\\.0\\.0\\.1:${kept.socket.localPort} fe=front be=web`));
  t.regex(await lab.reached(), /^[ab]$/);
});
