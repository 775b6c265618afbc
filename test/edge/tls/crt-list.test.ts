import test from 'ava';
import {parseCrtList} from '../../../src/config/crt-list.ts';
import type {CertificateSource} from '../../../src/config/tls.ts';
import {source} from './tls-lab.ts';

const directories = {certificates: '/certs', authorities: '/cas'};
const parse = (text: string) => parseCrtList(text, 'sites.list', directories);

for (const [line, expected] of [
  ['a.pem', {path: '/certs/a.pem'}],
  ['/other/a.pem\t*.a.test  !www.a.test', {path: '/other/a.pem', serverNames: ['*.a.test', '!www.a.test']}],
  ['a.pem !* # a comment', {path: '/certs/a.pem', serverNames: ['!*']}],
  [
    'a.pem [alpn h2,http/1.1 ssl-min-ver TLSv1.2] a.test',
    {path: '/certs/a.pem', alpn: ['h2', 'http/1.1'], versions: {min: 'TLSv1.2', max: null}, serverNames: ['a.test']},
  ],
  ['a.pem[ssl-max-ver TLSv1.2]', {path: '/certs/a.pem', versions: {min: null, max: 'TLSv1.2'}}],
  ['a.pem [verify required ca-file ca.pem]', {path: '/certs/a.pem', verify: 'required', caFile: '/cas/ca.pem'}],
  ['a.pem []', {path: '/certs/a.pem'}],
] as const satisfies [string, Partial<CertificateSource>][]) {
  test(`a line: ${line}`, (t) => {
    t.deepEqual(parse(`# comment\n\n${line}\r\n`), {certificates: [source(expected.path, expected)], diagnostics: []});
  });
}

for (const [line, message] of [
  ['[alpn h2]', 'file must start with a cert'],
  ['a.pem alpn h2]', "missing '['"],
  ['a.pem [alpn h2', "missing ']'"],
  ['a.pem ] [', "']' before '['"],
  ['a.pem [alpn h2][alpn h2]', "too many '['"],
  ['a.pem [alpn h2] ]', "too many ']'"],
  ['a.pem a.test [alpn h2]', "malformated line, filters can't be between filename and options!"],
  ['a.pem [alpn]', "ssl args out of '[]' for alpn"],
  ['a.pem [bogus]', 'unknown ssl keyword bogus'],
  ['a.pem [ssl-min-ver SSLv3]', "'SSLv3' : unknown ssl/tls version"],
  ['a.pem [verify always]', "'verify' : unknown verify method 'always', only 'none', 'optional', and 'required' are supported"],
  ['a.pem [ciphers AES128-SHA]', "'ciphers' is not implemented in lists of certificates"],
  ['a.pem [constructor x]', 'unknown ssl keyword constructor'],
] as const) {
  test(`a wrong line: ${line}`, (t) => {
    const {certificates, diagnostics} = parse(`good.pem\n${line}\n`);
    t.deepEqual(certificates, [source('/certs/good.pem')]);
    t.deepEqual(diagnostics[0], {level: 'alert', position: {file: 'sites.list', line: 2, column: 1}, message});
  });
}

test('what has no effect is a warning', (t) => {
  const {certificates, diagnostics} = parse('a.pem [curves X25519 allow-0rtt]');
  t.is(certificates.length, 1);
  t.deepEqual(
    diagnostics.map(({level, message}) => [level, message]),
    [
      ['warning', "'curves' has no effect"],
      ['warning', "'allow-0rtt' has no effect"],
    ],
  );
});
