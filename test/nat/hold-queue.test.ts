import test from 'ava';
import type {Flow} from '../../src/nat/flow.ts';
import {countSlot, countSlots, type HoldLimits, HoldQueue} from '../../src/nat/hold-queue.ts';
import {ipv4ToNumber} from '../../src/nat/ipv4.ts';
import {parsePacket} from '../../src/nat/packet.ts';
import {fc} from '../helpers/properties.ts';
import {app, client, flag, icmp, ip, type Segment, sumsUp, tcp, udp} from './segment.ts';

const address = ipv4ToNumber(app);
const expose = [{protocol: 'tcp', port: 80} as const, {protocol: 'udp', port: 53} as const];
const flow: Flow = {protocol: 'tcp', localPort: 80, remoteAddress: client, remotePort: 40_000};
const known: Flow = {...flow, receiveNext: 1000};
const limits: HoldLimits = {packetsPerApp: 4, bytesPerApp: 4000, packets: 100, bytes: 100_000, ageMs: 1000};

function sleeping(
  flows: 'unknown' | readonly Flow[],
  changed: Partial<HoldLimits> = {},
): {queue: HoldQueue; count: (name: keyof typeof countSlot, of?: number) => number} {
  const counts = new Int32Array(2 * countSlots);
  const queue = new HoldQueue({...limits, ...changed}, counts);
  queue.add(address, expose, 0);
  queue.sleep(address, flows);
  return {queue, count: (name, of = 0) => counts[of * countSlots + countSlot[name]] ?? -1};
}

/** What is done about one packet, in words: what the trigger or the answer is, and whether the packet comes out at the wake. */
function fate(flows: 'unknown' | readonly Flow[], packet: Buffer): string {
  const {queue} = sleeping(flows);
  const handling = queue.packet(packet, 0);
  const held = queue.wake(address).length === 1 ? 'held' : 'gone';
  if (handling === null) return held;
  if (handling.action === 'wanted') return `${held}, wakes by ${handling.trigger.kind}`;
  const answer = parsePacket(handling.packet);
  if (answer?.transport.kind === 'icmp') return `${held}, answered icmp ${answer.transport.type}/${answer.transport.code}`;
  if (answer?.transport.kind !== 'tcp') return `${held}, ${handling.action}`;
  return `${held}, answered ${answer.transport.flags & flag.rst ? 'rst' : 'ack'} ${answer.transport.sequence}/${answer.transport.acknowledgement}`;
}

const ack = (more: Partial<Segment> = {}): Buffer => tcp({flags: flag.ack, acknowledgement: 7, ...more});
const about = (port: number): Buffer => icmp(3, 4, tcp({from: app, to: client, sourcePort: 80, port, flags: flag.ack}));

const fates: readonly [string, 'unknown' | readonly Flow[], Buffer, string][] = [
  ['a SYN to an exposed port', [], tcp({flags: flag.syn}), 'held, wakes by connection'],
  ['a SYN to a closed port', [], tcp({flags: flag.syn, port: 81}), 'gone, answered rst 0/1001'],
  ['a SYN to a closed port during a dump', 'unknown', tcp({flags: flag.syn, port: 81}), 'gone, answered rst 0/1001'],
  ['a datagram to an exposed port', [], udp(), 'held, wakes by datagram'],
  ['a datagram to a closed port', [], udp({port: 54}), 'gone, answered icmp 3/3'],
  ['a datagram to a closed port during a dump', 'unknown', udp({port: 54}), 'held, wakes by datagram'],
  ['data of a connection', [flow], ack({payload: 'data'}), 'held, wakes by packet'],
  ['one pushed byte of a connection', [flow], ack({flags: flag.ack | flag.psh, payload: 'd'}), 'held, wakes by packet'],
  ['one byte that is no zero', [flow], ack({payload: 'd'}), 'held, wakes by packet'],
  ['one byte that is next', [known], ack({payload: '\0'}), 'held, wakes by packet'],
  ['one byte before the next', [known], ack({payload: 'd', sequence: 999}), 'gone, answered ack 7/1000'],
  ['data of no connection', [], ack({payload: 'data'}), 'gone, answered rst 7/0'],
  ['data during a dump', 'unknown', ack({payload: 'data'}), 'held, wakes by packet'],
  ['a keepalive probe', [flow], ack({sequence: 999}), 'gone, answered ack 7/1000'],
  ['a keepalive probe with a zero byte', [flow], ack({sequence: 999, payload: '\0'}), 'gone, answered ack 7/1000'],
  ['a keepalive probe where the next byte is known', [known], ack({sequence: 999}), 'gone, answered ack 7/1000'],
  ['a bare ACK where the next byte is known', [known], ack(), 'gone'],
  ['a keepalive probe during a dump', 'unknown', ack({sequence: 999, payload: '\0'}), 'held'],
  ['a keepalive probe of no connection', [], ack({sequence: 999}), 'gone, answered rst 7/0'],
  ['a FIN of a connection', [flow], tcp({flags: flag.fin | flag.ack}), 'held'],
  ['a FIN with data', [flow], tcp({flags: flag.fin | flag.ack, payload: 'last'}), 'held, wakes by packet'],
  ['a FIN of no connection', [], tcp({flags: flag.fin | flag.ack, acknowledgement: 9}), 'gone, answered rst 9/0'],
  ['a RST of a connection', [flow], tcp({flags: flag.rst}), 'held'],
  ['a RST of no connection', [], tcp({flags: flag.rst | flag.ack}), 'gone'],
  ['a RST during a dump', 'unknown', tcp({flags: flag.rst}), 'held'],
  ['an echo request', [], icmp(8, 0, Buffer.from('ping')), 'gone, answered icmp 0/0'],
  ['an ICMP error about a connection', [flow], about(40_000), 'held'],
  ['an ICMP error about something else', [flow], about(40_001), 'gone'],
  ['another protocol', [], ip(132, Buffer.alloc(12)), 'gone, answered icmp 3/2'],
  ['a fragment without its first one', [], udp({fragment: 3}), 'gone'],
  ['a packet to an address without an app', [], udp({to: '10.77.0.9'}), 'gone, answered icmp 3/1'],
  ['a SYN from a broadcast address', [], tcp({flags: flag.syn, port: 81, from: '255.255.255.255'}), 'gone'],
  ['a TCP header longer than the packet', [flow], tcp({flags: flag.ack}).fill(0xf0, 32, 33), 'gone'],
];

for (const [what, flows, packet, expected] of fates) {
  test(`${what} for a sleeping app: ${expected}`, (t) => t.is(fate(flows, packet), expected));
}

test('wake() gives what was held in order of arrival, without repetitions', (t) => {
  const {queue, count} = sleeping([flow]);
  const packets = [ack({payload: 'one'}), ack({sequence: 1003, payload: 'two'}), tcp({flags: flag.fin | flag.ack, sequence: 1006}), udp()];
  for (const packet of packets) queue.packet(packet, 0);
  for (const packet of packets.slice(0, 3)) t.is(queue.packet(packet, 1), null);
  t.deepEqual(queue.wake(address), packets);
  t.deepEqual(queue.wake(address), []);
  t.is(count('held'), 4);
  t.deepEqual(queue.packet(udp(), 2), {action: 'deliver', packet: udp()});
});

test('later fragments follow their first one', (t) => {
  const {queue} = sleeping([]);
  const packets = [udp({fragment: 0x2000, identification: 5}), udp({fragment: 0x2000 + 185, identification: 5}), udp({fragment: 370, identification: 5})];
  for (const packet of packets) queue.packet(packet, 0);
  queue.packet(udp({fragment: 185, identification: 6}), 0);
  t.deepEqual(queue.wake(address), packets);
});

test('a full queue drops packets, counts them, and still asks for a wake', (t) => {
  const {queue, count} = sleeping([flow]);
  for (let at = 0; at < 6; at++) queue.packet(tcp({flags: flag.syn, sequence: at}), 0);
  t.is(count('overflowed'), 2);
  t.is(queue.packet(udp(), 0)?.action, 'wanted');
  t.is(count('overflowed'), 3);
  t.is(queue.packet(tcp({flags: flag.fin | flag.ack}), 0), null, 'the end of a connection has room of its own');
  t.is(queue.wake(address).length, 5);
});

test('the bytes of one app and the packets of all have a bound', (t) => {
  const {queue, count} = sleeping([], {packetsPerApp: 100, packets: 5});
  for (let at = 0; at < 3; at++) queue.packet(udp({payload: 'x'.repeat(1400)}), 0);
  t.is(count('overflowed'), 1);
  queue.add(address + 1, expose, countSlots);
  for (let at = 0; at < 4; at++) queue.packet(udp({to: '10.77.0.3'}), 0);
  t.is(count('overflowed', 1), 1);
  queue.remove(address);
  t.is(queue.packet(udp({to: '10.77.0.3'}), 0)?.action, 'wanted');
  t.is(count('overflowed', 1), 1);
});

test('refuse() tells every sender, keeps the ends of connections, and ends those whose data it gave up', (t) => {
  const other: Flow = {...flow, remotePort: 40_001};
  const {queue, count} = sleeping([flow, other], {packetsPerApp: 10});
  queue.packet(tcp({flags: flag.syn, sourcePort: 5}), 0);
  queue.packet(ack({payload: 'data'}), 0);
  queue.packet(tcp({flags: flag.fin | flag.ack, sourcePort: 40_001}), 0);
  queue.packet(udp(), 0);
  const answers = queue.refuse(address).map((answer) => parsePacket(answer)?.transport);
  t.deepEqual(
    answers.map((answer) => answer?.kind),
    ['tcp', 'tcp', 'icmp'],
  );
  t.is(count('refused'), 3);
  t.is(queue.packet(ack({payload: 'more'}), 0)?.action, 'answer', 'the connection is over');
  const kept = queue.wake(address).map((packet) => parsePacket(packet)?.transport);
  t.like(kept, [
    {flags: flag.rst | flag.ack, sourcePort: 40_000, sequence: 1000},
    {flags: flag.fin | flag.ack, sourcePort: 40_001},
  ]);
});

test('what has waited too long is refused, what is kept is not', (t) => {
  const {queue, count} = sleeping([flow]);
  t.is(queue.nextExpiryMs(), Number.POSITIVE_INFINITY);
  queue.packet(tcp({flags: flag.rst}), 0);
  t.is(queue.nextExpiryMs(), Number.POSITIVE_INFINITY);
  queue.packet(udp(), 10);
  queue.packet(udp(), 20);
  t.is(queue.nextExpiryMs(), 1010);
  t.is(queue.expire(1009).length, 0);
  t.is(queue.expire(1010).length, 1);
  t.is(queue.nextExpiryMs(), 1020);
  t.is(queue.expire(5000).length, 1);
  t.is(count('expired'), 2);
  t.is(queue.wake(address).length, 1);
});

test('setFlows() judges what was held during a dump', (t) => {
  const {queue, count} = sleeping('unknown', {packetsPerApp: 10});
  const data = ack({payload: 'data'});
  for (const packet of [data, ack({sourcePort: 9, payload: 'stray'}), ack({sequence: 999}), tcp({flags: flag.syn})]) queue.packet(packet, 0);
  t.is(count('held'), 4);
  const answers = queue.setFlows(address, [flow], 0).map((answer) => parsePacket(answer)?.transport);
  t.like(answers, [
    {flags: flag.rst, destinationPort: 9},
    {flags: flag.ack, acknowledgement: 1000},
  ]);
  t.is(queue.wake(address).length, 2);
});

test('keepalive probes of one connection are answered at most about once a second', (t) => {
  const {queue, count} = sleeping([flow]);
  t.is(queue.packet(ack(), 0)?.action, 'answer');
  t.is(queue.packet(ack(), 1), null);
  t.is(queue.packet(ack(), 1000)?.action, 'answer');
  t.is(count('answeredKeepalives'), 2);
});

test('an answered keepalive probe repeats its timestamps the other way round, with right checksums', (t) => {
  const {queue} = sleeping([flow]);
  const handling = queue.packet(ack({sequence: 0, timestamps: [111, 222]}), 0);
  const answer = handling?.action === 'answer' ? handling.packet : Buffer.alloc(0);
  t.like(parsePacket(answer)?.transport, {timestamps: {value: 222, echo: 111}, sequence: 7, acknowledgement: 1});
  const pseudo = Buffer.concat([answer.subarray(12, 20), Buffer.from([0, 6, 0, answer.length - 20])]);
  t.true(sumsUp(Buffer.concat([pseudo, answer.subarray(20)])));
  t.true(sumsUp(answer.subarray(0, 20)));
});

test('any bytes are handled, whatever the state, within the bounds', (t) => {
  const template = fc.constantFrom(...fates.map(([, , packet]) => packet));
  const damaged = fc.tuple(template, fc.array(fc.tuple(fc.nat(80), fc.nat(255)), {maxLength: 6}), fc.nat(90)).map(([packet, changes, size]) => {
    const copy = Buffer.from(packet);
    for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
    return copy.subarray(0, Math.max(copy.length - size, 0));
  });
  const packet = fc.oneof(
    fc.uint8Array({maxLength: 120}).map((data) => Buffer.from(data)),
    damaged,
    template,
  );
  const step = fc.oneof({weight: 12, arbitrary: packet}, fc.constantFrom('wake', 'sleep', 'unknown', 'flows', 'refuse', 'expire'));
  fc.assert(
    fc.property(fc.array(step, {maxLength: 60}), (steps) => {
      const {queue} = sleeping([flow]);
      for (const [nowMs, next] of steps.entries()) {
        if (typeof next === 'string') {
          if (next === 'sleep') queue.sleep(address, [flow]);
          else if (next === 'unknown') queue.sleep(address, 'unknown');
          else if (next === 'flows') queue.setFlows(address, [flow], nowMs);
          else if (next === 'wake') queue.wake(address);
          else for (const answer of next === 'refuse' ? queue.refuse(address) : queue.expire(nowMs * 100)) if (parsePacket(answer) === undefined) return false;
          continue;
        }
        const handling = queue.packet(Buffer.from(next), nowMs);
        if (handling !== null && handling.action !== 'wanted' && parsePacket(handling.packet) === undefined) return false;
      }
      const out = queue.wake(address);
      return (
        out.length <= 2 * limits.packetsPerApp && out.reduce((sum, each) => sum + each.length, 0) <= limits.bytesPerApp && queue.nextExpiryMs() === Infinity
      );
    }),
    {numRuns: 500},
  );
  t.pass();
});
