import {once} from 'node:events';
import {readFile, writeFile} from 'node:fs/promises';
import {type AddressInfo, connect, type Socket} from 'node:net';
import {join} from 'node:path';
import {createServer, type TLSSocket, type TlsOptions} from 'node:tls';
import test from 'ava';
import type {TlsServer} from '../../../src/config/tls.ts';
import {CodedError} from '../../../src/core/errors.ts';
import {openTlsConnector} from '../../../src/edge/tls/connect-tls.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {testServer} from '../edge-fixture.ts';
import {type MadeCertificate, makeTestAuthority, makeTestCertificate, openssl} from './certificates.ts';

const bareTlsServer: TlsServer = {
  min: null,
  max: null,
  verify: 'none',
  caFile: null,
  crlFile: null,
  verifyHost: null,
  certificate: null,
  alpn: [],
  ciphers: null,
  ciphersuites: null,
};

interface TlsTestServer extends AsyncDisposable {
  readonly at: {readonly port: number} | {readonly path: string};
  readonly sockets: TLSSocket[];
  /** What clients asked for, or false. */
  names(): readonly unknown[];
}

async function tlsServer(certificate: MadeCertificate, options: TlsOptions = {}, path?: string): Promise<TlsTestServer> {
  const sockets: TLSSocket[] = [];
  const server = createServer({cert: await readFile(certificate.pemFile), key: await readFile(certificate.keyFile), ...options}, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {
      // Clients of tests leave as they like.
    });
    socket.write('hello\n');
  });
  if (path === undefined) server.listen(0, '127.0.0.1');
  else server.listen(path);
  await once(server, 'listening');
  return {
    at: path === undefined ? {port: (server.address() as AddressInfo).port} : {path},
    sockets,
    names: () => sockets.map((socket): unknown => Reflect.get(socket, 'servername')),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function connected(server: TlsTestServer): Promise<Socket> {
  const raw = connect({...server.at, host: '127.0.0.1', allowHalfOpen: true});
  await once(raw, 'connect');
  return raw;
}

/** `ok`, or what is wrong. */
async function attempt(server: TlsTestServer, tls: Partial<TlsServer>, sni: string | null = null): Promise<string> {
  const connector = await openTlsConnector('back/s1', {...bareTlsServer, ...tls});
  const raw = await connected(server);
  try {
    const socket = await connector.secure(raw, {sni, timeoutMs: 5000});
    const [data] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return data.toString() === 'hello\n' ? 'ok' : 'no greeting';
  } catch (error) {
    if (!(error instanceof CodedError) || !raw.destroyed) throw error;
    return error.message.replace('Cannot do TLS handshake with server "back/s1": ', '');
  }
}

test('a server is verified by its authority, and by the name that is expected', async (t) => {
  await using directory = await temporaryDirectory();
  const authority = await makeTestAuthority(directory.path);
  const stranger = await makeTestAuthority(directory.path, 'stranger');
  const certificate = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test', '*.b.test'], by: authority});
  await using server = await tlsServer(certificate);
  const verify = 'required';
  const caFile = authority.certificateFile;
  t.is(await attempt(server, {}), 'ok');
  t.is(await attempt(server, {}, 'whatever.test'), 'ok');
  t.is(await attempt(server, {verify, caFile}), 'ok');
  t.is(await attempt(server, {verify, caFile}, 'a.test'), 'ok');
  t.is(await attempt(server, {verify, caFile}, 'x.b.test'), 'ok');
  t.is(await attempt(server, {verify, caFile, verifyHost: 'a.test'}, 'other.test'), 'ok');
  t.regex(await attempt(server, {verify, caFile}, 'other.test'), /Hostname\/IP does not match/);
  t.regex(await attempt(server, {verify, caFile, verifyHost: 'other.test'}, 'a.test'), /Hostname\/IP does not match/);
  t.regex(await attempt(server, {verify, caFile: stranger.certificateFile}), /unable to (verify|get)/);
  t.regex(await attempt(server, {verify, caFile: '@system-ca'}), /unable to (verify|get)/);
});

test('the name is sent unless it is an address; ALPN and our certificate too; over unix sockets as well', async (t) => {
  await using directory = await temporaryDirectory();
  const authority = await makeTestAuthority(directory.path);
  const certificate = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  const ours = await makeTestCertificate(directory.path, {file: 'ours.pem', subject: '/CN=ours', by: authority});
  const options = {ALPNProtocols: ['h2', 'http/1.1'], requestCert: true, ca: await readFile(authority.certificateFile)};
  for (const path of [undefined, join(directory.path, 'socket')]) {
    await using server = await tlsServer(certificate, options, path);
    const tls = {alpn: ['http/1.1'], certificate: ours.pemFile};
    t.is(await attempt(server, tls, 'www.a.test'), 'ok');
    t.is(await attempt(server, tls, '127.0.0.1'), 'ok');
    t.is(await attempt(server, tls, ''), 'ok');
    t.deepEqual(server.names(), ['www.a.test', false, false]);
    t.true(server.sockets.every(({alpnProtocol}) => alpnProtocol === 'http/1.1'));
    t.true(server.sockets.every(({authorized}) => authorized));
  }
  await using strict = await tlsServer(certificate, options);
  // In TLS 1.3 a client hears of it after its handshake.
  t.regex(await attempt(strict, {max: 'TLSv1.2'}), /closed the connection|alert|reset|hang up/);
});

test('sessions are used again, for the same name only', async (t) => {
  await using directory = await temporaryDirectory();
  const certificate = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    await using server = await tlsServer(certificate);
    const connector = await openTlsConnector('back/s1', {...bareTlsServer, max: version});
    const reused: boolean[] = [];
    for (const sni of ['a.test', 'a.test', 'b.test', 'b.test', 'a.test']) {
      const socket = await connector.secure(await connected(server), {sni, timeoutMs: 5000});
      reused.push(socket.isSessionReused());
      // In TLS 1.3 the ticket comes after the handshake.
      const ticket = version === 'TLSv1.3' && !socket.isSessionReused() ? once(socket, 'session') : Promise.resolve();
      await Promise.all([once(socket, 'data'), ticket]);
      socket.destroy();
    }
    t.deepEqual(reused, [false, true, false, true, true], version);
  }
});

test('a server that answers nothing, or something else, or leaves', async (t) => {
  await using directory = await temporaryDirectory();
  const connector = await openTlsConnector('back/s1', bareTlsServer);
  const outcomes: string[] = [];
  for (const behaviour of [
    () => undefined,
    (socket: Socket) => void socket.end('HTTP/1.0 400 Bad request\r\n\r\n'),
    (socket: Socket) => void socket.destroy(),
  ]) {
    await using server = await testServer(behaviour);
    const raw = connect(server.port, '127.0.0.1');
    await once(raw, 'connect');
    const error = await t.throwsAsync(connector.secure(raw, {sni: null, timeoutMs: 200}), {code: 'ERR_SERVER_TLS'});
    outcomes.push(error.message);
    t.true(raw.destroyed);
  }
  t.regex(outcomes[0] ?? '', /too slow for 200 ms/);
  t.regex(outcomes[1] ?? '', /wrong version number|packet length/);
  t.regex(outcomes[2] ?? '', /closed|disconnected|reset/);
  await t.throwsAsync(openTlsConnector('back/s1', {...bareTlsServer, certificate: join(directory.path, 'none.pem')}), {code: 'ERR_CERTIFICATE'});
  await t.throwsAsync(openTlsConnector('back/s1', {...bareTlsServer, verify: 'required', caFile: join(directory.path, 'none.pem')}), {code: 'ERR_CA_FILE'});
});

test('a revoked certificate is refused', async (t) => {
  await using directory = await temporaryDirectory();
  const authority = await makeTestAuthority(directory.path);
  const good = await makeTestCertificate(directory.path, {file: 'good.pem', names: ['good.test'], by: authority});
  const bad = await makeTestCertificate(directory.path, {file: 'bad.pem', names: ['bad.test'], by: authority});
  const at = (name: string): string => join(directory.path, name);
  await writeFile(at('index'), '');
  await writeFile(at('ca.cnf'), `[ca]\ndefault_ca=own\n[own]\ndatabase=${at('index')}\ndefault_md=sha256\ndefault_crl_days=2\n`);
  const signer = ['-config', at('ca.cnf'), '-cert', authority.certificateFile, '-keyfile', authority.keyFile];
  await openssl('ca', ...signer, '-revoke', bad.certificateFile);
  await openssl('ca', ...signer, '-gencrl', '-out', at('crl.pem'));
  const tls = {verify: 'required', caFile: authority.certificateFile, crlFile: at('crl.pem')} as const;
  await using goodServer = await tlsServer(good);
  await using badServer = await tlsServer(bad);
  t.is(await attempt(goodServer, tls, 'good.test'), 'ok');
  t.regex(await attempt(badServer, tls, 'bad.test'), /revoked/);
});
