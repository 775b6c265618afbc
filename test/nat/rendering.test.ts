import test from 'ava';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {chooseRange} from '../../src/nat/free-range.ts';
import {appAddress, gatewayAddress, ipv4ToNumber, ipv4ToText, rangeBounds} from '../../src/nat/ipv4.ts';
import {addRouteMessage, deleteRouteMessage, listSetMessage, parseReplies, parseSetElements, replyResult} from '../../src/nat/netlink.ts';
import {frontendsText} from '../../src/nat/nft-rules.ts';

const range = {address: '10.77.0.0', prefixLength: 24};

test('addresses follow from the range and the number of the app', (t) => {
  t.is(gatewayAddress(range), '10.77.0.1');
  t.is(appAddress(range, 0), '10.77.0.2');
  t.is(appAddress(range, 252), '10.77.0.254');
  t.is(appAddress({address: '10.77.0.0', prefixLength: 16}, 300), '10.77.1.46');
  t.throws(() => appAddress(range, 253), {code: 'ERR_RANGE_FULL'});
  t.is(ipv4ToText(ipv4ToNumber('203.0.113.255')), '203.0.113.255');
});

for (const bad of [
  {address: '10.77.0.0', prefixLength: 25},
  {address: '10.0.0.0', prefixLength: 8},
  {address: '10.77.0.5', prefixLength: 24},
]) {
  test(`${bad.address}/${bad.prefixLength} is no private range`, (t) => {
    t.throws(() => rangeBounds(bad), {code: 'ERR_BAD_RANGE'});
  });
}

test('chooseRange() takes the first /16 from 10.77 on that nothing overlaps', (t) => {
  t.deepEqual(chooseRange([]), {address: '10.77.0.0', prefixLength: 16});
  t.deepEqual(chooseRange(['default', '192.0.2.0/24', '10.77.3.4', '10.78.0.0/15']), {address: '10.80.0.0', prefixLength: 16});
  t.deepEqual(chooseRange(['10.0.0.0/8']), {address: '172.16.0.0', prefixLength: 16});
  t.is(chooseRange(['10.0.0.0/8', '172.16.0.0/12']), undefined);
});

test('netlink requests are as rtnetlink(7) has them', (t) => {
  const route = {destination: ipv4ToNumber('10.77.0.2'), interfaceIndex: 5, source: ipv4ToNumber('10.77.0.1')};
  const attributes = '08000100' + '0a4d0002' + '08000400' + '05000000' + '08000700' + '0a4d0001';
  t.is(addRouteMessage(route, 9).toString('hex'), `3400000018000505090000000000000002200000fe04fd0100000000${attributes}`);
  t.is(deleteRouteMessage(route, 9).subarray(4, 8).toString('hex'), '19000500');
  t.is(listSetMessage({table: 'tt', set: 's'}, 1).readUInt16LE(4), 0x0a0d);
});

test('netlink answers are read defensively', (t) => {
  const reply = (type: number, body: Buffer): Buffer => {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(16 + body.length, 0);
    header.writeUInt16LE(type, 4);
    return Buffer.concat([header, body]);
  };
  const refused = parseReplies(reply(2, Buffer.from([0xfd, 0xff, 0xff, 0xff]))).map(replyResult);
  t.deepEqual(refused, [-3]);
  t.deepEqual(parseReplies(Buffer.from('ffffffff0000000000000000000000', 'hex')), []);
  const lying = reply(0x0a0c, Buffer.from('02000000' + 'ff000380' + '00000000', 'hex'));
  t.deepEqual(parseReplies(lying).flatMap(parseSetElements), []);
});

test('frontendsText() replaces all elements in one text', (t) => {
  const identity = gatewayIdentity('/x');
  const frontends = [
    {protocol: 'tcp', host: '', port: 80, targetHost: '10.77.0.2', targetPort: 8080},
    {protocol: 'udp', host: '127.0.0.1', port: 53, targetHost: '192.0.2.9', targetPort: 53},
    {protocol: 'tcp', host: '192.0.2.1', port: 81, targetHost: '10.77.0.2', targetPort: 8080, isUnnoticed: true},
  ] as const;
  const text = frontendsText(identity, frontends, (address) => address.startsWith('10.77.'));
  t.is(
    text.replaceAll(`picogate_${identity}`, 'T'),
    `flush map ip T binds
add element ip T binds {udp . 127.0.0.1 . 53 : 192.0.2.9 . 53, tcp . 192.0.2.1 . 81 : 10.77.0.2 . 8080}
flush map ip T wildcard_binds
add element ip T wildcard_binds {tcp . 80 : 10.77.0.2 . 8080}
flush set ip T elsewhere
add element ip T elsewhere {udp . 192.0.2.9 . 53}
flush set ip T unnoticed_binds
add element ip T unnoticed_binds {tcp . 192.0.2.1 . 81}
`,
  );
  t.false(frontendsText(identity, [], () => true).includes('add'));
});
