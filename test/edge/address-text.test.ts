import test from 'ava';
import {addressText} from '../../src/edge/address-text.ts';
import {ipv4SocketAddress, ipv6SocketAddress} from '../../src/edge/socket-address.ts';
import {fc} from '../helpers/properties.ts';

const table: readonly (readonly [host: string, text: string])[] = [
  ['::', '::'],
  ['::1', '::1'],
  ['2001:db8::', '2001:db8::'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['0:0:0:0:0:fffe:c000:201', '::fffe:c000:201'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::ffff:0:c000:201', '::ffff:0:c000:201'],
];

for (const [host, text] of table) {
  test(`${host} is ${text}`, (t) => {
    t.deepEqual(addressText(ipv6SocketAddress(host, 53)), {host: text, port: 53});
  });
}

test('an IPv4 address', (t) => {
  t.deepEqual(addressText(ipv4SocketAddress('192.0.2.255', 65_535)), {host: '192.0.2.255', port: 65_535});
});

test('what is written can be read again', (t) => {
  fc.assert(
    fc.property(fc.ipV6(), fc.integer({min: 0, max: 65_535}), (host, port) => {
      const bytes = ipv6SocketAddress(host, port);
      const text = addressText(bytes);
      t.is(text.port, port);
      const again = ipv6SocketAddress(text.host.includes(':') ? text.host : `::ffff:${text.host}`, port);
      t.deepEqual(again, bytes);
    }),
  );
});
