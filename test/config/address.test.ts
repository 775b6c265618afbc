import test from 'ava';
import {type BindAddress, canonicalHost, parseBindAddress, parseTarget} from '../../src/config/address.ts';

/** As `protocol host port`, or as its socket, or null for what is refused. */
const binds: Readonly<Record<string, string | null>> = {
  ':80': 'null  80',
  '*:80': 'null  80',
  '0.0.0.0:80': 'null 0.0.0.0 80',
  '127.0.0.1:80': 'null 127.0.0.1 80',
  '[::]:80': 'null :: 80',
  ':::80': 'null :: 80',
  '[2001:db8::1]:80': 'null 2001:db8::1 80',
  '2001:db8::1:80': 'null 2001:db8::1 80',
  'localhost:80': 'null localhost 80',
  'udp@:53': 'udp  53',
  'udp@*:53': 'udp  53',
  'udp@[::1]:53': 'udp ::1 53',
  'udp6@:53': 'udp :: 53',
  'tcp@10.0.0.1:53': 'tcp 10.0.0.1 53',
  'ipv4@:53': 'null  53',
  'ipv6@:53': 'null :: 53',
  ':7-9': 'null  7|null  8|null  9',
  '': null,
  '80': null,
  '*': null,
  ':': null,
  ':0': null,
  ':65536': null,
  ':9-7': null,
  ':7-8-9': null,
  ':7-': null,
  '[::1]': null,
  '[::1]80': null,
  '[1.2.3.4]:80': null,
  '1.2.3:80': null,
  '1.2.3.4.5:80': null,
  'a b:80': null,
  '-a:80': null,
  'a..b:80': null,
  '/run/socket': 'unix /run/socket false',
  'unix@/run/socket': 'unix /run/socket false',
  'unix@': null,
  'fd@3': 'fd 3',
  'fd@': null,
  'fd@x': null,
  'abns@x': 'unix x true',
  'abns@': null,
  [`/${'x'.repeat(107)}`]: null,
  'sctp@:80': null,
  'constructor@:80': null,
  'ipv6@localhost:80': null,
  '10.0.0.1:80:80': null,
};

for (const [text, expected] of Object.entries(binds)) {
  test(`parseBindAddress() ${expected === null ? 'refuses' : 'takes'} ${JSON.stringify(text)}`, (t) => {
    const parsed = parseBindAddress(text);
    const show = ({protocol, host, port, socket}: BindAddress): string =>
      socket === undefined ? `${String(protocol)} ${host} ${port}` : Object.values(socket).join(' ');
    t.is(parsed.ok ? parsed.value.map(show).join('|') : null, expected);
  });
}

const targets: Readonly<Record<string, string | null>> = {
  'app:blog:80': 'app blog 80',
  'app:a:b:80': 'app a:b 80',
  'app:blog.example.com:80': 'app blog.example.com 80',
  'app:80': 'address app 80',
  '10.0.0.1:80': 'address 10.0.0.1 80',
  '[2001:db8::1]:80': 'address 2001:db8::1 80',
  '2001:db8::1:80': 'address 2001:db8::1 80',
  'example.com:80': 'address example.com 80',
  'ipv4@10.0.0.1:80': 'address 10.0.0.1 80',
  'app:': null,
  'app:blog': null,
  'app:blog:': null,
  'app::80': null,
  'app:../x:80': null,
  'app:blog:http': null,
  'udp@10.0.0.1:80': null,
  '10.0.0.1': null,
  '10.0.0.1:1-2': null,
  ':80': null,
  '*:80': null,
  '0.0.0.0:80': null,
  '[::]:80': null,
  '/run/socket': 'unix /run/socket false',
  'abns@x': 'unix x true',
  'unix@': null,
  'fd@3': null,
};

for (const [text, expected] of Object.entries(targets)) {
  test(`parseTarget() ${expected === null ? 'refuses' : 'takes'} ${JSON.stringify(text)}`, (t) => {
    const parsed = parseTarget(text);
    const target = parsed.ok ? parsed.value : null;
    t.is(target && Object.values(target).join(' '), expected);
  });
}

test('canonicalHost() finds one spelling for what binds alike', (t) => {
  t.is(canonicalHost('0.0.0.0'), canonicalHost(''));
  t.is(canonicalHost('0::1'), canonicalHost('::1'));
  t.is(canonicalHost('2001:DB8::1'), canonicalHost('2001:db8:0::1'));
  t.is(canonicalHost('Localhost'), canonicalHost('localhost'));
  t.not(canonicalHost('fe80::1%eth0'), canonicalHost('fe80::1%eth1'));
});
