/** HAProxy receives our headers, and passes them on as its own, which we receive. */
import {X509Certificate} from 'node:crypto';
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import {connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import {connect as connectTls} from 'node:tls';
import test from 'ava';
import type {ProxyHeader} from '../../../src/edge/proxy-protocol/proxy-header.ts';
import {receiveProxyHeader} from '../../../src/edge/proxy-protocol/receive-proxy-header.ts';
import {ownProxyHeader, type ProxiedClient, proxyHeaderWriter} from '../../../src/edge/proxy-protocol/send-proxy-header.ts';
import type {TlsFacts} from '../../../src/edge/samples/context.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {startHaproxy} from '../haproxy.ts';
import {makeTestAuthority, makeTestCertificate} from '../tls/certificates.ts';

/** Takes headers off on a unix socket; what follows goes back. */
async function receiver(path: string) {
  const headers: ProxyHeader[] = [];
  const errors: unknown[] = [];
  const serve = async (socket: Socket): Promise<void> => {
    headers.push((await receiveProxyHeader(socket, {timeoutMs: 5000})).header);
    socket.pipe(socket);
  };
  const server = createServer({allowHalfOpen: true}, (socket) => {
    serve(socket).catch((error: unknown) => {
      errors.push(error);
      socket.destroy();
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return {headers, errors, [Symbol.asyncDispose]: async () => void server.close()};
}

async function answerTo(path: string, bytes: Buffer): Promise<string> {
  const socket = connect({path, allowHalfOpen: true});
  socket.end(bytes);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

const client = (source: string, destination: string): ProxiedClient => ({
  protocol: 'tcp',
  source: {host: source, port: 56324},
  destination: {host: destination, port: 443},
  tls: null,
  uniqueId: 'unique 1',
});

test('addresses come through HAProxy unchanged, in both versions and both directions', async (t) => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  await using back = await receiver(at('back'));
  const ways = {v1: 'send-proxy', v2: 'send-proxy-v2', all: 'send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,authority'};
  const configuration = Object.entries(ways).map(
    ([name, how]) => `listen ${name}\n  bind unix@${at(name)} accept-proxy\n  unique-id-format from-haproxy\n  server s unix@${at('back')} ${how}`,
  );
  await using _haproxy = await startHaproxy(directory.path, configuration.join('\n'), at('all'));
  const writers = [proxyHeaderWriter('v1', []), proxyHeaderWriter('v2', []), proxyHeaderWriter('v2', ['crc32c', 'unique-id', 'ssl', 'authority', 'cert-cn'])];
  for (const [source, destination] of [
    ['192.0.2.1', '192.0.2.9'],
    ['2001:db8::1', '2001:db8::9'],
  ] as const) {
    for (const write of writers) {
      for (const way of Object.keys(ways)) {
        t.is(await answerTo(at(way), Buffer.concat([write(client(source, destination)), Buffer.from('payload')])), 'payload');
        const header = back.headers.pop();
        t.deepEqual(header?.addresses, {
          kind: 'ip',
          transport: 'stream',
          source: {host: source, port: 56324},
          destination: {host: destination, port: 443},
        });
        t.is(header?.uniqueId === null ? null : Buffer.from(header?.uniqueId ?? []).toString(), way === 'all' ? 'from-haproxy' : null);
      }
    }
  }
  // Addresses of two families: HAProxy sees IPv6 in version 2, and nothing in version 1.
  t.is(await answerTo(at('v2'), proxyHeaderWriter('v2', [])(client('192.0.2.1', '2001:db8::9'))), '');
  t.like(back.headers.pop()?.addresses, {source: {host: '192.0.2.1', port: 56324}, destination: {host: '2001:db8::9', port: 443}});
  for (const unknown of [Buffer.from('PROXY UNKNOWN\r\n'), ownProxyHeader('v2', client('192.0.2.1', '192.0.2.2'))]) {
    t.is(await answerTo(at('v2'), Buffer.concat([unknown, Buffer.from('payload')])), 'payload');
    t.is(back.headers.pop()?.tls, null);
  }
  t.deepEqual(back.errors, []);
});

test('what HAProxy tells of TLS', async (t) => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const authority = await makeTestAuthority(directory.path);
  const server = await makeTestCertificate(directory.path, {file: 'server.pem', names: ['a.test'], key: 'rsa'});
  const alice = await makeTestCertificate(directory.path, {file: 'alice.pem', subject: '/O=Example/CN=alice', by: authority});
  await using back = await receiver(at('back'));
  const configuration = `listen l
  bind unix@${at('front')} accept-proxy ssl crt ${server.pemFile} alpn h2 verify optional ca-file ${authority.certificateFile}
  server s unix@${at('back')} send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c`;
  await using _haproxy = await startHaproxy(directory.path, configuration, at('front'));
  const ask = async (certificate: {cert?: Buffer; key?: Buffer}): Promise<ProxyHeader | undefined> => {
    // Of a client without addresses HAProxy would tell nothing.
    const raw = connect({path: at('front')});
    await once(raw, 'connect');
    raw.write('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n');
    const socket = connectTls({socket: raw, servername: 'a.test', ALPNProtocols: ['h2'], rejectUnauthorized: false, maxVersion: 'TLSv1.2', ...certificate});
    socket.write('payload');
    t.is(String(await once(socket, 'data')), 'payload');
    socket.on('error', () => {
      // HAProxy may close while we do.
    });
    socket.destroy();
    return back.headers.pop();
  };
  const anonymous = await ask({});
  t.like(anonymous, {alpn: 'h2', authority: 'a.test'});
  t.like(anonymous?.tls, {version: 'TLSv1.2', clientCertificate: 'none', commonName: null, signatureAlgorithm: 'RSA-SHA256', keyAlgorithm: 'RSA2048'});
  const pem = await readFile(alice.pemFile);
  t.like((await ask({cert: pem, key: pem}))?.tls, {clientCertificate: 'connection', verifyResult: 0, commonName: 'alice'});
});

test('a writer tells of TLS what it is asked for', async (t) => {
  await using directory = await temporaryDirectory();
  const alice = await makeTestCertificate(directory.path, {file: 'alice.pem', subject: '/O=Example/CN=alice'});
  const tls: TlsFacts = {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_128_GCM_SHA256',
    sni: 'a.test',
    alpn: 'h2',
    resumed: false,
    client: {subject: '', issuer: '', fingerprintSha1: '', der: new X509Certificate(await readFile(alice.pemFile)).raw, verified: 0},
  };
  const path = join(directory.path, 'back');
  await using back = await receiver(path);
  const read = async (options: string[]): Promise<ProxyHeader | undefined> => {
    await answerTo(path, proxyHeaderWriter('v2', options)({...client('192.0.2.1', '192.0.2.2'), tls}));
    return back.headers.pop();
  };
  t.like(await read([]), {alpn: 'h2', authority: null, uniqueId: null, tls: null});
  t.like(await read(['ssl']), {tls: {version: 'TLSv1.3', clientCertificate: 'connection', verifyResult: 0, commonName: null, cipher: null}});
  t.like(await read(['ssl', 'cert-cn', 'ssl-cipher', 'authority', 'crc32c']), {
    authority: 'a.test',
    tls: {commonName: 'alice', cipher: 'TLS_AES_128_GCM_SHA256'},
  });
});
