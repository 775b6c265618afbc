import test from 'ava';
import {crc32c} from '../../../src/edge/proxy-protocol/crc32c.ts';
import {bytesToIp, ipToBytes} from '../../../src/edge/proxy-protocol/ip-bytes.ts';
import {bareProxyHeader, type ProxiedAddresses, type ProxyHeader} from '../../../src/edge/proxy-protocol/proxy-header.ts';
import {parseProxyHeader, splitProxiedDatagram} from '../../../src/edge/proxy-protocol/receive-proxy-header.ts';
import {formatVersion1} from '../../../src/edge/proxy-protocol/version-1.ts';
import {formatVersion2, signature} from '../../../src/edge/proxy-protocol/version-2.ts';
import {fc} from '../../helpers/properties.ts';

const text = (line: string): Buffer => Buffer.from(line, 'latin1');
const found = (bytes: Buffer): unknown => {
  const reading = parseProxyHeader(bytes);
  return reading.kind === 'complete' ? reading.header.addresses : reading.kind === 'invalid' ? reading.found : reading.kind;
};
const ip = (source: string, sourcePort: number, destination: string, destinationPort: number): ProxiedAddresses => ({
  kind: 'ip',
  transport: 'stream',
  source: {host: source, port: sourcePort},
  destination: {host: destination, port: destinationPort},
});

for (const [line, expected] of [
  ['PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n', ip('192.0.2.1', 56324, '192.0.2.9', 443)],
  ['PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n', ip('255.255.255.255', 65535, '255.255.255.255', 65535)],
  ['PROXY TCP6 2001:DB8:0:0::1 ::1 1 2\r\n', ip('2001:db8::1', 1, '::1', 2)],
  ['PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n', ip('192.0.2.1', 1, '::1', 2)],
  ['PROXY UNKNOWN\r\n', null],
  ['PROXY UNKNOWN ffff:f:f whatever \u00ff\r\n', null],
  [`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`, null],
  [`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, 'a line of more than 107 bytes'],
  ['PROXY UNKNOWNS\r\n', 'the protocol "UNKNOWNS"'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\n', 'a line that ends without CR'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r', 'incomplete'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 56324\r\n', '"" where a port is expected'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 056 443\r\n', '"056" where a port is expected'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 65536 443\r\n', '"65536" where a port is expected'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 -1 443\r\n', '"-1" where a port is expected'],
  ['PROXY TCP4 192.0.2.1 192.0.2.9 1 2 3\r\n', 'more than six words'],
  ['PROXY TCP4 192.0.2.01 192.0.2.9 1 2\r\n', '"192.0.2.01" where an IPv4 address is expected'],
  ['PROXY TCP4 ::1 192.0.2.9 1 2\r\n', '"::1" where an IPv4 address is expected'],
  ['PROXY TCP6 fe80::1%lo ::1 1 2\r\n', '"fe80::1%lo" where an IPv6 address is expected'],
  ['PROXY  TCP4 192.0.2.1 192.0.2.9 1 2\r\n', 'the protocol ""'],
  ['PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n', 'the protocol "UDP4"'],
  ['proxy UNKNOWN\r\n', 'none'],
  ['GET / HTTP/1.1\r\n\r\n', 'none'],
  ['', 'incomplete'],
] as const) {
  test(`version 1: ${JSON.stringify(line.length > 60 ? `${line.slice(0, 30)}... (${line.length})` : line)}`, (t) => {
    t.deepEqual(found(text(line)), expected);
  });
}

const head = (command: number, family: number, length: number): Buffer => Buffer.concat([signature, Buffer.from([command, family, length >> 8, length & 255])]);
const v4 = Buffer.from([192, 0, 2, 1, 192, 0, 2, 9, 0xdc, 4, 1, 0xbb]);

for (const [title, bytes, expected] of [
  ['IPv4', Buffer.concat([head(0x21, 0x11, 12), v4]), ip('192.0.2.1', 56324, '192.0.2.9', 443)],
  ['LOCAL with bytes to skip', Buffer.concat([head(0x20, 0x11, 3), Buffer.alloc(3)]), null],
  ['LOCAL of a family that does not exist', head(0x20, 0xf0, 0), 'the address family 0xf0'],
  ['an unspecified family with bytes to skip', Buffer.concat([head(0x21, 0, 5), Buffer.alloc(5, 255)]), null],
  ['an unspecified transport', Buffer.concat([head(0x21, 0x10, 12), v4]), null],
  ['another version', head(0x31, 0x11, 12), 'version 3'],
  ['another command', head(0x22, 0x11, 12), 'command 2'],
  ['another transport', head(0x21, 0x13, 12), 'the address family 0x13'],
  ['too short for its addresses', Buffer.concat([head(0x21, 0x11, 11), v4]), '11 bytes where addresses of 12 are expected'],
  ['not all here', Buffer.concat([head(0x21, 0x11, 13), v4]), 'incomplete'],
  ['a TLV beyond the end', Buffer.concat([head(0x21, 0x11, 16), v4, Buffer.from([4, 0, 2, 0])]), 'a TLV that ends after the header'],
  ['half of a TLV', Buffer.concat([head(0x21, 0x11, 13), v4, Buffer.from([4])]), 'a TLV that ends after the header'],
  ['a wrong checksum', Buffer.concat([head(0x21, 0x11, 19), v4, Buffer.from([3, 0, 4, 1, 2, 3, 4])]), 'a wrong checksum'],
  ['a short checksum', Buffer.concat([head(0x21, 0x11, 16), v4, Buffer.from([3, 0, 1, 0])]), 'a wrong checksum'],
  ['a long unique ID', Buffer.concat([head(0x21, 0x11, 15 + 129), v4, Buffer.from([5, 0, 129]), Buffer.alloc(129)]), 'a unique ID of 129 bytes'],
  ['short TLS', Buffer.concat([head(0x21, 0x11, 16), v4, Buffer.from([0x20, 0, 1, 1])]), 'a truncated part about TLS'],
  ['NOOP and a type nobody knows', Buffer.concat([head(0x21, 0x11, 18), v4, Buffer.from([4, 0, 0, 0xe1, 0, 0])]), ip('192.0.2.1', 56324, '192.0.2.9', 443)],
] as const) {
  test(`version 2: ${title}`, (t) => {
    t.deepEqual(found(bytes), expected);
  });
}

const port = fc.integer({min: 0, max: 65535});
const host = (version: 4 | 6): fc.Arbitrary<string> =>
  (version === 4 ? fc.ipV4() : fc.ipV6())
    .map((address) => bytesToIp(ipToBytes(address) ?? new Uint8Array(4)))
    .filter((address) => address.includes(':') === (version === 6));
const transport = fc.constantFrom('stream' as const, 'datagram' as const);
const ipAddresses = fc.constantFrom(4 as const, 6 as const).chain((version) =>
  fc.record({
    kind: fc.constant('ip' as const),
    transport,
    source: fc.record({host: host(version), port}),
    destination: fc.record({host: host(version), port}),
  }),
);
const path = fc.string({unit: 'grapheme-ascii', maxLength: 108});
const unixAddresses = fc.record({kind: fc.constant('unix' as const), transport, source: path, destination: path});
const word = fc.option(fc.string({maxLength: 50}));
const header: fc.Arbitrary<ProxyHeader> = fc.record({
  local: fc.constant(false),
  addresses: fc.oneof(ipAddresses, unixAddresses, fc.constant(null)),
  alpn: fc.option(fc.constantFrom('h2', 'http/1.1')),
  authority: word,
  uniqueId: fc.option(fc.uint8Array({maxLength: 128})),
  networkNamespace: word,
  tls: fc.option(
    fc.record({
      version: word,
      clientCertificate: fc.constantFrom('none' as const, 'connection' as const, 'session' as const),
      verifyResult: fc.nat(),
      commonName: word,
      cipher: word,
      signatureAlgorithm: word,
      keyAlgorithm: word,
    }),
  ),
});

test('version 2 is read as it was written, whatever follows, and needs each of its bytes', (t) => {
  fc.assert(
    fc.property(header, fc.boolean(), fc.uint8Array({maxLength: 20}), fc.nat(), (written, checksum, payload, cut) => {
      const bytes = formatVersion2(written, {checksum});
      t.deepEqual(parseProxyHeader(Buffer.concat([bytes, payload])), {kind: 'complete', header: written, sizeBytes: bytes.length});
      const part = parseProxyHeader(bytes.subarray(0, cut % bytes.length));
      t.is(part.kind, 'incomplete');
      if (part.kind === 'incomplete') t.true(part.neededBytes > cut % bytes.length && part.neededBytes <= bytes.length);
    }),
  );
});

test('version 1 is read as it was written', (t) => {
  fc.assert(
    fc.property(ipAddresses, (written) => {
      const line = formatVersion1(written);
      t.deepEqual(parseProxyHeader(line), {
        kind: 'complete',
        header: {...bareProxyHeader, addresses: {...written, transport: 'stream'}},
        sizeBytes: line.length,
      });
      for (let cut = 0; cut < line.length; cut++) t.is(parseProxyHeader(line.subarray(0, cut)).kind, 'incomplete');
    }),
    {numRuns: 30},
  );
});

test('a checksum finds each changed bit', (t) => {
  const bytes = formatVersion2({...bareProxyHeader, addresses: ip('192.0.2.1', 1, '192.0.2.2', 2), authority: 'a.test'}, {checksum: true});
  for (let bit = 16 * 8; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    const reading = parseProxyHeader(changed);
    // The type of the checksum itself may become one that nobody knows.
    if (bit >> 3 !== 28) t.is(reading.kind, 'invalid', `bit ${bit}`);
  }
});

test('whatever comes, it is read or refused', (t) => {
  const mutated = fc
    .tuple(header, fc.boolean(), fc.array(fc.tuple(fc.nat(), fc.integer({min: 0, max: 255})), {maxLength: 5}))
    .map(([from, checksum, changes]) => {
      const bytes = formatVersion2(from, {checksum});
      for (const [at, value] of changes) bytes.writeUInt8(value, at % bytes.length);
      return bytes;
    });
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array().map((bytes) => Buffer.concat([signature, bytes])),
        fc.string().map((line) => Buffer.from(`PROXY ${line}\r\n`)),
      ),
      (bytes) => {
        const reading = parseProxyHeader(bytes);
        if (reading.kind === 'complete') t.true(reading.sizeBytes <= bytes.length);
        if (reading.kind === 'incomplete') t.true(reading.neededBytes > bytes.length && reading.neededBytes <= 16 + 65535);
      },
    ),
    {numRuns: 1000},
  );
  t.pass();
});

test('IPv6 addresses have one spelling', (t) => {
  for (const [written, canonical] of [
    ['0:0:0:0:0:0:0:0', '::'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1::', '1::'],
  ] as const) {
    t.is(bytesToIp(ipToBytes(written) ?? new Uint8Array()), canonical);
  }
  t.is(ipToBytes('example.com'), null);
});

test('crc32c() of the known texts', (t) => {
  t.is(crc32c(Buffer.from('123456789')), 0xe3069283); // the check value of the CRC catalogues
  t.is(crc32c(Buffer.alloc(32)), 0x8a9136aa); // RFC 3720, appendix B.4
  t.is(crc32c(Buffer.from('1234'), Buffer.from('56789')), 0xe3069283);
});

test('a datagram has a header of version 2 and a payload', (t) => {
  const written: ProxyHeader = {...bareProxyHeader, addresses: {...ip('192.0.2.1', 1, '192.0.2.2', 53), transport: 'datagram'}};
  const bytes = Buffer.concat([formatVersion2(written, {checksum: true}), Buffer.from('question')]);
  const {header: read, payload} = splitProxiedDatagram(bytes);
  t.deepEqual(read, written);
  t.is(payload.toString(), 'question');
  for (const wrong of [bytes.subarray(0, 20), Buffer.from('question'), Buffer.alloc(0), text('PROXY UNKNOWN\r\nquestion')]) {
    t.throws(() => splitProxiedDatagram(wrong), {code: 'ERR_PROXY_HEADER'});
  }
});
