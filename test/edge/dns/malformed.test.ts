import test from 'ava';
import {readName} from '../../../src/edge/dns/name.ts';
import {parseDnsQuestion, readQuery} from '../../../src/edge/dns/query.ts';
import {fc} from '../../helpers/properties.ts';
import {until} from '../../helpers/until.ts';
import {openAsker, openTestDns, question} from './dns-fixture.ts';

const blog = 'blog.apps.example.com';

function changed(message: Buffer, at: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(message);
  copy.set(bytes, at);
  return copy;
}

function withRecords(count: number, ...records: Buffer[]): Buffer {
  return Buffer.concat([changed(question(blog), 10, count >> 8, count & 0xff), ...records]);
}

const opt = Buffer.from([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);

/** The rcode of the answer, or null when there must be none. */
const cases: readonly (readonly [what: string, message: Buffer, rcode: number | null])[] = [
  ['nothing', Buffer.alloc(0), null],
  ['less than a header', Buffer.alloc(11), null],
  ['an answer', changed(question(blog), 2, 0x81), null],
  ['an answer that refuses', changed(question(blog), 2, 0x81, 0x05), null],
  ['a header alone', question(blog).subarray(0, 12), 1],
  ['no question', changed(question(blog), 4, 0, 0), 1],
  ['two questions', Buffer.concat([changed(question(blog), 4, 0, 2), question(blog).subarray(12)]), 1],
  ['65535 questions', changed(question(blog), 4, 0xff, 0xff), 1],
  ['operation 1 (inverse query)', changed(question(blog), 2, 0x09), 4],
  ['operation 15', changed(question(blog), 2, 0x79), 4],
  ['a name that is cut off', question(blog).subarray(0, 20), 1],
  ['a question without its class', question(blog).subarray(0, -2), 1],
  ['a label of 64 bytes', changed(question('a'.repeat(63)), 12, 64), 1],
  ['a reserved kind of label', changed(question(blog), 12, 0x80), 1],
  ['a pointer to itself', changed(question(blog), 12, 0xc0, 12), 1],
  ['a pointer into the header', changed(question(blog), 12, 0xc0, 0), 1],
  ['a name of more than 255 bytes', Buffer.concat([question(blog).subarray(0, 12), Buffer.from(`${'\x01a'.repeat(128)}\0\0\x01\0\x01`, 'latin1')]), 1],
  ['bytes after the end', Buffer.concat([question(blog), Buffer.from([0])]), 1],
  ['a record that is announced and missing', withRecords(1), 1],
  ['65535 records', withRecords(0xffff, opt), 1],
  ['a record whose data is cut off', withRecords(1, changed(opt, 9, 0, 1)), 1],
  ['two OPT records', withRecords(2, opt, opt), 1],
  ['an OPT record of another name', withRecords(1, Buffer.from([1, 97]), opt), 1],
  ['an option that is cut off', withRecords(1, changed(opt, 9, 0, 3), Buffer.from([0, 10, 0])), 1],
  ['an option longer than its record', withRecords(1, changed(opt, 9, 0, 4), Buffer.from([0, 10, 0, 1])), 1],
  ['a transfer (IXFR)', question(blog, {type: 251}), 5],
  ['type OPT as a question', question(blog, {type: 41}), 1],
  ['a whole question', question(blog, {edns: true}), 0],
];

test('malformed messages are refused or dropped, and answers are never answered', async (t) => {
  await using dns = await openTestDns();
  for (const [what, message, rcode] of cases) {
    await using asker = await openAsker(dns.udpPort);
    asker.send(message);
    // Datagrams are answered in order: when this one is, the other one was or will not be.
    asker.send(question(blog, {id: 0x7777}));
    await until(() => asker.received.some((answer) => answer.readUInt16BE(0) === 0x7777), {what});
    const first = asker.received.find((answer) => answer.readUInt16BE(0) !== 0x7777);
    t.is(first === undefined ? null : (first[3] ?? 0) & 0xf, rcode, what);
    if (first === undefined) continue;
    t.is(first.readUInt16BE(0), message.readUInt16BE(0), what);
    t.true(((first[2] ?? 0) & 0x80) !== 0, what);
    t.is((first[2] ?? 0) & 0x78, (message[2] ?? 0) & 0x78, what);
  }
});

test('changed questions: no crash, nothing is larger than it may be, and every answer is one', async (t) => {
  await using dns = await openTestDns();
  await using asker = await openAsker(dns.udpPort);
  const names = [blog, 'www.apps.example.com', 'big.apps.example.com', 'none.apps.example.com', 'x.sub.apps.example.com', 'www.example.org'];
  const samples = names.flatMap((name) => [question(name), question(name, {edns: true}), question(name, {type: 16, edns: true}), question(name, {type: 255})]);
  const mutation = fc.record({
    sample: fc.constantFrom(...samples),
    changes: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), {maxLength: 6}),
    cut: fc.option(fc.nat(60), {freq: 4}),
    more: fc.uint8Array({maxLength: 20}),
  });
  const messages = fc.sample(mutation, 3000).map(({sample, changes, cut, more}) => {
    const copy = Buffer.concat([sample.subarray(0, cut ?? sample.length), more]);
    for (const [at, byte] of changes) if (at < copy.length) copy[at] = byte;
    return copy;
  });
  for (const [index, message] of messages.entries()) {
    asker.send(message);
    if (index % 50 > 0) continue;
    asker.send(question(blog, {id: 0x7777}));
    const before = asker.received.length;
    await until(() => asker.received.slice(before).some((answer) => answer.readUInt16BE(0) === 0x7777), {what: message.toString('hex'), intervalMs: 1});
  }
  t.true(asker.received.length > 500);
  for (const answer of asker.received) {
    t.true(answer.length >= 12 && answer.length <= 1232);
    t.true(((answer[2] ?? 0) & 0x80) !== 0);
  }
});

test('readQuery(), parseDnsQuestion() and readName() take any bytes', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({maxLength: 600}), fc.nat(600), (bytes, at) => {
      readQuery(bytes);
      parseDnsQuestion(bytes);
      readName(bytes, at);
    }),
    {numRuns: 5000},
  );
  t.pass();
});

test('parseDnsQuestion() tells what a datagram asks for', (t) => {
  t.deepEqual(parseDnsQuestion(question('Blog.Apps.example.com', {type: 28})), {name: 'blog.apps.example.com', type: 'AAAA'});
  t.deepEqual(parseDnsQuestion(question('.', {type: 2})), {name: '.', type: 'NS'});
  t.deepEqual(parseDnsQuestion(question('a\\.b.example', {type: 65400})), {name: 'a\\046b.example', type: 'TYPE65400'});
  t.is(parseDnsQuestion(changed(question(blog), 2, 0x80)), null);
  t.is(parseDnsQuestion(Buffer.from('GET / HTTP/1.1\r\n\r\n')), null);
});

test('readName() follows pointers backwards only', (t) => {
  const message = Buffer.from('\x03com\x00\x01a\xc0\x00\x01b\xc0\x05\xc0\x0d\xc0\x0f', 'latin1');
  t.is(String(readName(message, 9)?.key), '\x01b\x01a\x03com\x00');
  t.is(readName(message, 13), null);
  t.is(readName(message, 15), null);
  t.is(readName(message, 16), null);
});
