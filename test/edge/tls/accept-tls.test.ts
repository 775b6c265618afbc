import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {mkdir, readFile, rename, writeFile} from 'node:fs/promises';
import {type AddressInfo, connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import {connect as connectTls} from 'node:tls';
import test from 'ava';
import {receiveProxyHeader} from '../../../src/edge/proxy-protocol/receive-proxy-header.ts';
import {openCertificateStore} from '../../../src/edge/tls/certificate-store.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {makeTestAuthority, makeTestCertificate} from './certificates.ts';
import {openTlsLab, sClient, source} from './tls-lab.ts';

const commonName = (output: string): string | undefined => /subject=.*CN = (\S+)/.exec(output)?.[1];

test('a client gets the certificate of the name it asks for, a wildcard, or the first one', async (t) => {
  await using directory = await temporaryDirectory();
  const make = (name: string, names: string[]) => makeTestCertificate(directory.path, {file: `${name}.pem`, subject: `/CN=${name}`, names});
  const [first, exact, wild] = await Promise.all([make('first', ['first.test']), make('exact', ['www.site.test']), make('wild', ['*.site.test'])]);
  await using lab = await openTlsLab({bind: {certificates: [first, wild, exact].map(({pemFile}) => source(pemFile))}});
  for (const [asked, expected] of [
    ['www.site.test', 'exact'],
    ['WWW.Site.TEST', 'exact'],
    ['mail.site.test', 'wild'],
    ['a.mail.site.test', 'first'],
    ['site.test', 'first'],
    ['other.test', 'first'],
    ['first.test', 'first'],
  ] as const) {
    const {output} = await sClient(lab.port, '-servername', asked);
    t.is(commonName(output), expected, asked);
  }
  t.is(commonName((await sClient(lab.port, '-noservername')).output), 'first');
  t.deepEqual([lab.facts[1]?.sni, lab.facts.at(-1)?.sni], ['WWW.Site.TEST', null]);
  t.is(lab.acceptor.counters.succeeded, 8);
});

test('names of a line replace those of its certificate; exceptions count for wildcards of the same line', async (t) => {
  await using directory = await temporaryDirectory();
  const make = (name: string, names: string[]) => makeTestCertificate(directory.path, {file: `${name}.pem`, subject: `/CN=${name}`, names});
  const [first, wild, other] = await Promise.all([make('first', ['first.test']), make('wild', ['ignored.test']), make('other', ['*.site.test'])]);
  const certificates = [
    source(first.pemFile, {serverNames: ['!*']}),
    source(wild.pemFile, {serverNames: ['*.site.test', '!secret.site.test']}),
    source(other.pemFile),
  ];
  await using lab = await openTlsLab({bind: {certificates, strictSni: true}});
  t.is(commonName((await sClient(lab.port, '-servername', 'www.site.test')).output), 'wild');
  t.is(commonName((await sClient(lab.port, '-servername', 'secret.site.test')).output), 'other');
  for (const refused of [['-servername', 'first.test'], ['-servername', 'ignored.test'], ['-noservername']]) {
    const {output, ok} = await sClient(lab.port, ...refused);
    t.false(ok);
    t.regex(output, /alert number 112/, refused.join(' '));
  }
  t.is(lab.acceptor.counters.unknownName, 3);
});

test('RSA and ECDSA of one name are both offered', async (t) => {
  await using directory = await temporaryDirectory();
  for (const key of ['rsa', 'ecdsa'] as const) await makeTestCertificate(directory.path, {file: `site.pem.${key}`, names: ['site.test'], key});
  await using lab = await openTlsLab({bind: {certificates: [source(join(directory.path, 'site.pem'))]}});
  for (const name of ['site.test', 'other.test']) {
    t.regex((await sClient(lab.port, '-tls1_2', '-servername', name, '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256')).output, /Cipher is ECDHE-RSA/);
    t.regex((await sClient(lab.port, '-tls1_2', '-servername', name, '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256')).output, /Cipher is ECDHE-ECDSA/);
    t.regex((await sClient(lab.port, '-servername', name, '-sigalgs', 'RSA-PSS+SHA256')).output, /Peer signature type: RSA-PSS/);
    t.regex((await sClient(lab.port, '-servername', name, '-sigalgs', 'ECDSA+SHA256')).output, /Peer signature type: ECDSA/);
  }
});

test('a directory is all its certificates, in the order of their names, and keys may stand beside', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'certs');
  await mkdir(path);
  const zebra = await makeTestCertificate(directory.path, {file: 'zebra', names: ['zebra.test']});
  const ant = await makeTestCertificate(directory.path, {file: 'ant', names: ['ant.test']});
  await rename(zebra.pemFile, join(path, 'zebra.pem'));
  await rename(ant.certificateFile, join(path, 'ant.crt'));
  await rename(ant.keyFile, join(path, 'ant.crt.key'));
  await Promise.all(['ant.crt.ocsp', 'ant.crt.issuer', 'ant.crt.sctl', '.hidden'].map((name) => writeFile(join(path, name), 'no certificate')));
  await using lab = await openTlsLab({bind: {certificates: [source(path)]}});
  t.is(commonName((await sClient(lab.port, '-servername', 'zebra.test')).output), 'zebra.test');
  t.is(commonName((await sClient(lab.port, '-servername', 'other.test')).output), 'ant.test');
});

test('versions and ciphers are as configured', async (t) => {
  await using directory = await temporaryDirectory();
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test'], key: 'rsa'});
  const certificates = [source(pemFile)];
  const protocols = async (bind: Parameters<typeof openTlsLab>[0]['bind']): Promise<string> => {
    await using lab = await openTlsLab({bind: {certificates, ...bind}});
    const found = [];
    for (const version of ['-tls1', '-tls1_1', '-tls1_2', '-tls1_3']) {
      if ((await sClient(lab.port, version, '-cipher', 'DEFAULT:@SECLEVEL=0')).ok) found.push(version);
    }
    return found.join(' ');
  };
  t.is(await protocols({}), '-tls1_2 -tls1_3');
  t.is(await protocols({min: 'TLSv1.3'}), '-tls1_3');
  t.is(await protocols({max: 'TLSv1.2'}), '-tls1_2');
  t.is(await protocols({min: 'TLSv1.0', ciphers: 'DEFAULT:@SECLEVEL=0'}), '-tls1 -tls1_1 -tls1_2 -tls1_3');
  t.is(await protocols({max: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0'}), '-tls1_1');
  await using lab = await openTlsLab({bind: {certificates, ciphers: 'ECDHE-RSA-AES256-GCM-SHA384', ciphersuites: 'TLS_CHACHA20_POLY1305_SHA256'}});
  t.regex((await sClient(lab.port, '-tls1_2')).output, /Cipher is ECDHE-RSA-AES256-GCM-SHA384/);
  t.regex((await sClient(lab.port, '-tls1_3')).output, /Cipher is TLS_CHACHA20_POLY1305_SHA256/);
  t.false((await sClient(lab.port, '-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256')).ok);
  t.deepEqual(lab.errors, ['ERR_TLS_HANDSHAKE']);
  t.deepEqual([lab.facts[0]?.version, lab.facts[0]?.cipher], ['TLSv1.2', 'ECDHE-RSA-AES256-GCM-SHA384']);
});

test('ALPN follows our order; without a protocol in common there is none', async (t) => {
  await using directory = await temporaryDirectory();
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  await using lab = await openTlsLab({
    bind: {certificates: [source(pemFile), source(pemFile, {serverNames: ['old.test'], alpn: ['http/1.0']})], alpn: ['h2', 'http/1.1']},
  });
  t.regex((await sClient(lab.port, '-servername', 'a.test', '-alpn', 'http/1.1,h2')).output, /ALPN protocol: h2/);
  t.regex((await sClient(lab.port, '-servername', 'a.test', '-alpn', 'ftp')).output, /No ALPN negotiated/);
  t.regex((await sClient(lab.port, '-servername', 'old.test', '-alpn', 'h2,http/1.0')).output, /ALPN protocol: http\/1.0/);
  t.deepEqual(
    lab.facts.map(({alpn}) => alpn),
    ['h2', null, 'http/1.0'],
  );
});

test('client certificates: none, optional, required, revoked', async (t) => {
  await using directory = await temporaryDirectory();
  const authority = await makeTestAuthority(directory.path);
  const stranger = await makeTestAuthority(directory.path, 'stranger');
  const [server, alice, mallory] = await Promise.all([
    makeTestCertificate(directory.path, {file: 'server.pem', names: ['a.test']}),
    makeTestCertificate(directory.path, {file: 'alice.pem', subject: '/C=FR/O=Example/CN=alice', by: authority}),
    makeTestCertificate(directory.path, {file: 'mallory.pem', subject: '/CN=mallory', by: stranger}),
  ]);
  const bind = {certificates: [source(server.pemFile)], caFile: authority.certificateFile};
  const as = (who: {pemFile: string} | null): string[] => (who === null ? [] : ['-cert', who.pemFile, '-key', who.pemFile]);
  for (const [verify, who, expected] of [
    ['none', alice, 'none'],
    ['optional', null, 'none'],
    ['optional', alice, 'alice'],
    ['optional', mallory, 'refused'],
    ['required', null, 'refused'],
    ['required', alice, 'alice'],
    ['required', mallory, 'refused'],
  ] as const) {
    for (const version of ['-tls1_2', '-tls1_3']) {
      await using lab = await openTlsLab({bind: {...bind, verify}});
      await sClient(lab.port, version, ...as(who));
      await until(() => lab.facts.length + lab.errors.length > 0);
      const {client} = lab.facts[0] ?? {client: null};
      const found = lab.errors.length > 0 ? 'refused' : client === null ? 'none' : 'alice';
      t.is(found, expected, `${verify} ${expected} ${version} ${lab.errors.join()}`);
      if (expected === 'refused') t.deepEqual(lab.errors, ['ERR_TLS_CLIENT_CERTIFICATE']);
      if (found !== 'alice') continue;
      t.like(client, {subject: '/C=FR/O=Example/CN=alice', issuer: '/CN=authority of a test', verified: 0});
      t.regex(client?.fingerprintSha1 ?? '', /^[0-9A-F]{40}$/);
    }
  }
});

test('sessions go on with tickets, also in the next process, but not around a client certificate', async (t) => {
  await using directory = await temporaryDirectory();
  const authority = await makeTestAuthority(directory.path);
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  const ticketKeys = randomBytes(48);
  const certificates = [source(pemFile)];
  for (const version of ['-tls1_2', '-tls1_3']) {
    const maxVersion = version === '-tls1_2' ? 'TLSv1.2' : 'TLSv1.3';
    await using before = await openTlsLab({bind: {certificates}, ticketKeys});
    // In TLS 1.3 tickets come after the handshake: the client stays until it has read a line.
    const socket = connectTls({
      port: before.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      servername: 'a.test',
      maxVersion,
    });
    const [kept] = (await Promise.all([once(socket, 'session'), once(socket, 'data')]))[0] as [Buffer];
    socket.destroy();
    const resume = async (port: number): Promise<boolean> => {
      const again = connectTls({port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'a.test', maxVersion, session: kept});
      again.on('error', () => {
        // It may be refused.
      });
      await new Promise((resolve) => again.once('data', resolve).once('close', resolve));
      const reused = again.isSessionReused();
      again.destroy();
      return reused;
    };
    t.true(await resume(before.port), version);
    t.deepEqual(
      before.facts.map(({resumed}) => resumed),
      [false, true],
    );
    await using next = await openTlsLab({bind: {certificates}, ticketKeys});
    t.true(await resume(next.port), version);
    await using otherKeys = await openTlsLab({bind: {certificates}});
    t.false(await resume(otherKeys.port), version);
    await using strict = await openTlsLab({bind: {certificates, verify: 'required', caFile: authority.certificateFile}, ticketKeys});
    t.not(await resume(strict.port), true, version);
    await until(() => strict.errors.length > 0);
    t.deepEqual([strict.errors, strict.facts], [['ERR_TLS_CLIENT_CERTIFICATE'], []]);
    await using without = await openTlsLab({bind: {certificates, tickets: false}, ticketKeys});
    t.false(await resume(without.port), version);
  }
});

test('a certificate is replaced while connections are up', async (t) => {
  await using directory = await temporaryDirectory();
  const old = await makeTestCertificate(directory.path, {file: 'site.pem', subject: '/CN=old', names: ['site.test']});
  const next = await makeTestCertificate(directory.path, {file: 'next.pem', subject: '/CN=next', names: ['site.test', 'more.test']});
  const store = await openCertificateStore([old.pemFile]);
  await using lab = await openTlsLab({bind: {certificates: [source(old.pemFile)], strictSni: true}, store});
  const early = connectTls({port: lab.port, host: '127.0.0.1', servername: 'site.test', rejectUnauthorized: false});
  await once(early, 'data');
  t.is(store.stage(old.pemFile, await readFile(next.pemFile, 'utf8')), 'created');
  t.is(commonName((await sClient(lab.port, '-servername', 'site.test')).output), 'old');
  store.commit(old.pemFile);
  t.is(commonName((await sClient(lab.port, '-servername', 'site.test')).output), 'next');
  t.is(commonName((await sClient(lab.port, '-servername', 'more.test')).output), 'next');
  early.write('still here');
  t.is(String(await once(early, 'data')), 'still here');
  early.destroy();
});

test('a PROXY header may stand before the handshake, in one piece with it or not', async (t) => {
  await using directory = await temporaryDirectory();
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  const sources: unknown[] = [];
  await using lab = await openTlsLab({
    bind: {certificates: [source(pemFile)]},
    prepare: async (socket) => sources.push((await receiveProxyHeader(socket, {timeoutMs: 5000})).header.addresses?.source),
  });
  const header = 'PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n';
  for (const glued of [true, false]) {
    const raw = connect(lab.port, '127.0.0.1');
    if (glued) raw.cork();
    raw.write(header);
    const socket = connectTls({socket: raw, servername: 'a.test', rejectUnauthorized: false});
    raw.uncork();
    t.is(String(await once(socket, 'data')), 'hello\n');
    socket.destroy();
  }
  t.deepEqual(sources, Array(2).fill({host: '192.0.2.1', port: 56324}));
});

test('what is no handshake is refused, and leaves nothing behind', async (t) => {
  await using directory = await temporaryDirectory();
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  await using lab = await openTlsLab({bind: {certificates: [source(pemFile)]}, timeoutMs: 300});
  const hello = await firstBytesOfClient();
  const cases: readonly [string, Buffer | string, boolean][] = [
    ['ERR_TLS_NO_HELLO', 'GET / HTTP/1.0\r\n\r\n', false],
    ['ERR_TLS_TIMEOUT', '', false],
    ['ERR_TLS_TIMEOUT', hello.subarray(0, 100), false],
    ['ERR_TLS_TIMEOUT', hello, false],
    ['ERR_TLS_ABANDONED', hello.subarray(0, 100), true],
    ['ERR_TLS_ABANDONED', hello, true],
  ];
  for (const [expected, bytes, leaves] of cases) {
    const before = lab.errors.length;
    const socket = connect(lab.port, '127.0.0.1');
    socket.on('error', () => {
      // Resets are expected.
    });
    socket.resume();
    socket.write(bytes);
    if (leaves) socket.end(() => socket.destroy());
    await until(() => lab.errors.length > before);
    t.is(lab.errors.at(-1), expected, `${bytes.length} bytes`);
    await until(() => lab.sockets.size === 0);
    socket.destroy();
  }
  t.is(lab.acceptor.counters.pending, 0);
  t.true((await sClient(lab.port)).ok);
});

test('so many handshakes at a time, and no more', async (t) => {
  await using directory = await temporaryDirectory();
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  await using lab = await openTlsLab({bind: {certificates: [source(pemFile)]}, maxHandshakes: 3, timeoutMs: 30_000});
  const idle = Array.from({length: 3}, () => connect(lab.port, '127.0.0.1'));
  await until(() => lab.acceptor.counters.pending === 3);
  t.false((await sClient(lab.port)).ok);
  t.deepEqual(lab.errors, ['ERR_TLS_REFUSED']);
  for (const socket of idle) socket.destroy();
  await until(() => lab.acceptor.counters.pending === 0);
  t.true((await sClient(lab.port)).ok);
});

/** A ClientHello as Node sends it. */
async function firstBytesOfClient(): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: 'a.test'});
  client.on('error', () => {
    // Nobody answers it.
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}
