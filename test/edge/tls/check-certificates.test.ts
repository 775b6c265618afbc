import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../../src/config/proxy-defaults.ts';
import type {TlsBind} from '../../../src/config/tls.ts';
import {checkCertificates} from '../../../src/edge/tls/check-certificates.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {makeTestCertificate} from './certificates.ts';
import {bareTlsBind, source} from './tls-lab.ts';

const position = {file: 'test.cfg', line: 7, column: 3};

async function check(tls: Partial<TlsBind>): Promise<readonly string[]> {
  const bind = {...bareBind({host: '127.0.0.1', port: 443, protocol: 'tcp', position}), tls: {...bareTlsBind, ...tls}};
  const found = await checkCertificates({frontends: [{...bareFrontend({name: 'f', position}), binds: [bind]}], backends: []});
  return found.map(({level, message}) => `${level}: ${message.replace("'bind 127.0.0.1:443' in section 'frontend'", 'BIND')}`);
}

test('files that are missing, empty, half, mixed up or old', async (t) => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const good = await makeTestCertificate(directory.path, {file: 'good.pem', names: ['a.test']});
  const other = await makeTestCertificate(directory.path, {file: 'other.pem', names: ['b.test']});
  const old = await makeTestCertificate(directory.path, {file: 'old.pem', names: ['c.test'], expired: true});
  await writeFile(at('garbage.pem'), 'hi');
  await writeFile(at('mixed.pem'), (await readFile(good.certificateFile, 'utf8')) + (await readFile(other.keyFile, 'utf8')));
  const one = (path: string) => check({certificates: [source(path)]});
  t.deepEqual(await one(good.pemFile), []);
  t.deepEqual(await one(at('none.pem')), [`alert: BIND : unable to stat SSL certificate from file '${at('none.pem')}' : No such file or directory.`]);
  t.deepEqual(await one(at('garbage.pem')), [`alert: BIND : unable to load certificate from file '${at('garbage.pem')}'.`]);
  t.deepEqual(await one(good.certificateFile), [`alert: BIND : No Private Key found in '${good.certificateFile}.key'.`]);
  t.deepEqual(await one(at('mixed.pem')), [`alert: BIND : inconsistencies between private key and certificate loaded '${at('mixed.pem')}'.`]);
  t.regex((await one(old.pemFile)).join(), /^warning: BIND : the certificate '.*old.pem' has expired \(.*\)\.$/);
  t.deepEqual(await check({}), ["alert: Proxy 'f': no SSL certificate specified for bind '127.0.0.1:443' at [test.cfg:7] (use 'crt')."]);
  const certificates = [source(good.pemFile)];
  t.deepEqual(await check({certificates, verify: 'required'}), [
    "alert: Proxy 'f': verify is enabled but no CA file specified for bind '127.0.0.1:443' at [test.cfg:7].",
  ]);
  t.deepEqual(await check({certificates, caFile: at('garbage.pem')}), [
    `alert: BIND : 'ca-file' : unable to load ${at('garbage.pem')}: Couldn't open the ca-file '${at('garbage.pem')}' (no certificate or crl found).`,
  ]);
  t.deepEqual(await check({certificates, ciphers: 'NOPE'}), [
    "alert: Proxy 'f': unable to set SSL cipher list to 'NOPE' for bind '127.0.0.1:443' at [test.cfg:7].",
  ]);
  t.deepEqual(await check({certificates, ciphersuites: 'NOPE'}), [
    "alert: Proxy 'f': unable to set TLS 1.3 cipher suites to 'NOPE' for bind '127.0.0.1:443' at [test.cfg:7].",
  ]);
});

test('servers are checked too', async (t) => {
  const tls = {
    min: null,
    max: null,
    verify: 'required',
    caFile: null,
    crlFile: null,
    verifyHost: null,
    certificate: '/none.pem',
    alpn: [],
    ciphers: null,
    ciphersuites: null,
  } as const;
  const server = {...bareServer({name: 's', target: {kind: 'address', host: '127.0.0.1', port: 1}, position}), tls};
  const found = await checkCertificates({frontends: [], backends: [{...bareBackend({name: 'b', position}), servers: [server]}]});
  t.is(found.length, 2);
  t.regex(found[0]?.message ?? '', /^'server b\/s' : unable to stat SSL certificate from file '\/none.pem' : No such file/);
  t.regex(found[1]?.message ?? '', /^'server b\/s' : verify is enabled by default but no CA file specified/);
});
