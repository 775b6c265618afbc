/** The first packets of MQTT: what the converters read in them, and which session they let through, by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {mqttFields} from '../../src/config/expression/mqtt-fields.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const packet = 'req.fhdr(x-packet),b64dec';
const asked = [
  `${packet},mqtt_is_valid`,
  ...mqttFields.connect.map((field) => `${packet},mqtt_field_value(connect,${field})`),
  ...mqttFields.connack.map((field) => `${packet},mqtt_field_value(2,${field})`),
];

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend asking
  bind 127.0.0.1:\${ASKING}
  http-request return status 200 content-type text/plain lf-file \${VALUES}/asked
frontend broker
  mode tcp
  bind 127.0.0.1:\${BROKER}
  tcp-request inspect-delay 2s
  tcp-request content reject unless { req.payload(0,0),mqtt_is_valid }
  use_backend one if { req.payload(0,0),mqtt_field_value(connect,client_identifier) -m beg one }
  default_backend other
backend one
  mode tcp
  server s 127.0.0.1:\${ONE}
backend other
  mode tcp
  server s 127.0.0.1:\${OTHER}
`;

function text(value: string): number[] {
  const bytes = [...Buffer.from(value)];
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
}

/** @param type with its flags @param body is not longer than one byte of length says, or than two */
function packetOf(type: number, body: readonly number[], length = body.length): Buffer {
  return Buffer.from([type, ...(length < 128 ? [length] : [(length % 128) + 128, length >> 7]), ...body]);
}

function properties(...list: readonly (readonly number[])[]): number[] {
  const bytes = list.flat();
  return [bytes.length, ...bytes];
}

const head = (version: number, flags: number, name = 'MQTT'): number[] => [...text(name), version, flags, 0x12, 0x34];
const connectProperties = [
  [17, 0, 1, 2, 3],
  [33, 0, 9],
  [39, 0, 0, 1, 0],
  [34, 0, 7],
  [25, 1],
  [23, 0],
  [38, ...text('a'), ...text('b')],
  [38, ...text('a'), ...text('c')],
  [21, ...text('SCRAM')],
  [22, ...text('secret')],
];
const willProperties = [
  [24, 0, 0, 0, 5],
  [1, 1],
  [2, 0, 0, 0, 9],
  [3, ...text('text/plain')],
  [8, ...text('answer')],
  [9, ...text('which')],
  [38, ...text('x'), ...text('')],
];
const connackProperties = [
  ...[
    [17, 0, 0, 0, 1],
    [33, 0, 2],
    [36, 1],
    [37, 0],
    [39, 0, 1, 0, 0],
    [18, ...text('given')],
    [34, 0, 3],
    [31, ...text('why')],
    [40, 1],
    [41, 0],
    [42, 1],
  ],
  ...[
    [19, 0, 60],
    [26, ...text('info')],
    [28, ...text('there')],
    [38, ...text('k'), ...text('v')],
    [21, ...text('SCRAM')],
    [22, ...text('more')],
  ],
];
const will = [...text('topic'), ...text('gone')];
const full5 = packetOf(0x10, [
  ...[...head(5, 0xfe), ...properties(...connectProperties), ...text('client'), ...properties(...willProperties)],
  ...[...will, ...text('joe'), ...text('pass')],
]);
const full4 = packetOf(0x10, [...head(4, 0xc6), ...text('client'), ...will, ...text('joe'), ...text('pass')]);
const connack5 = packetOf(0x20, [1, 0x87, ...properties(...connackProperties)]);
const twice = (list: readonly (readonly number[])[]): Buffer[] => list.map((one) => packetOf(0x10, [...head(5, 2), ...properties(one, one), ...text('c')]));

const packets: readonly Buffer[] = [
  ...[full5, full4, connack5],
  ...[packetOf(0x20, [0, 0]), packetOf(0x20, [1, 5]), packetOf(0x20, [2, 0]), packetOf(0x20, [0]), packetOf(0x20, [0, 0, 0])],
  packetOf(0x10, [...head(3, 2, 'MQIsdp'), ...text('old')]),
  packetOf(0x10, [...head(4, 2, 'mqtt'), ...text('')]),
  packetOf(0x10, [...head(4, 2, 'MQTX'), ...text('c')]),
  ...[1, 2, 3, 4, 5, 6].map((version) => packetOf(0x10, [...head(version, 2), ...text('c')])),
  packetOf(0x10, [...head(5, 2), 0, ...text('c')]),
  ...[0x01, 0x08, 0x10, 0x18, 0x20, 0x38, 0x04].map((flags) => packetOf(0x10, [...head(4, flags), ...text('c')])),
  packetOf(0x10, [...head(5, 2), ...properties([22, ...text('alone')]), ...text('c')]),
  packetOf(0x10, [...head(5, 2), ...properties([33, 0, 0]), ...text('c')]),
  packetOf(0x10, [...head(5, 2), ...properties([39, 0, 0, 0, 0]), ...text('c')]),
  packetOf(0x10, [...head(5, 2), ...properties([25, 2]), ...text('c')]),
  packetOf(0x10, [...head(5, 2), ...properties([18, ...text('x')]), ...text('c')]),
  packetOf(0x10, [...head(5, 2), 9, ...text('c')]),
  ...twice(connectProperties),
  Buffer.concat([full4, Buffer.from([0xc0, 0])]),
  ...[0x00, 0x11, 0x30, 0xc0, 0xe0, 0xff].map((type) => packetOf(type, [0, 0])),
  Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00]),
  ...[1, 2, 9, full4.length - 1].map((length) => full4.subarray(0, length)),
  // What the head says of the length is not what is in it.
  ...[1, 5, 20].map((less) => packetOf(0x10, [...full4.subarray(2)], full4.length - 2 - less)),
  packetOf(0x10, [...full4.subarray(2), 1, 2, 3]),
];

async function ask(twin: Twin, bytes: Uint8Array): Promise<readonly string[]> {
  const headers = {'x-packet': Buffer.from(bytes).toString('base64')};
  const answer = await fetch(`http://127.0.0.1:${twin.port('ASKING')}/`, {headers, signal: AbortSignal.timeout(5000)});
  return (await answer.text()).split('\n');
}

/** @returns what the server says that the session came to */
async function openSession(twin: Twin, parts: readonly Uint8Array[]): Promise<string> {
  const client = connect({host: '127.0.0.1', port: twin.port('BROKER')});
  let answer = '';
  client.on('error', () => undefined);
  client.setEncoding('latin1').on('data', (part: string) => {
    answer += part;
  });
  for (const part of parts) {
    client.write(part);
    await new Promise((resolve) => void setTimeout(resolve, 50));
  }
  await until(() => client.closed, {what: `${twin.name} to end the session`});
  return answer;
}

pairTest('packets of MQTT are read as HAProxy does, and sessions go where they say', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  await writeFile(join(path, 'asked'), asked.map((expression) => `${expression}=%[${expression}]`).join('\n'));
  const server = (name: string): Promise<string> =>
    serve(
      scope,
      createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.end(name))),
      () => undefined,
    );
  const values = {VALUES: path, ONE: await server('one'), OTHER: await server('other')};
  const pair = scope.use(await startPair({configuration, ports: ['ASKING', 'BROKER'], values, directory: path}));
  for (const bytes of packets) t.deepEqual(await ask(pair.picogate, bytes), await ask(pair.haproxy, bytes), bytes.toString('hex'));
  const read = (await ask(pair.picogate, full5)).join('\n');
  for (const value of ['mqtt_is_valid=1', `username)=joe`, 'mqtt_field_value(connect,34)=7']) {
    t.true(read.includes(value), read);
  }
  const one = packetOf(0x10, [...head(4, 2), ...text('one-1')]);
  const sessions: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['one', [one]],
    ['one', [one.subarray(0, 3), one.subarray(3, 15), one.subarray(15)]],
    ['other', [packetOf(0x10, [...head(4, 2), ...text('two')])]],
    ['', [Buffer.from('GET / HTTP/1.0\r\n\r\n')]],
  ];
  for (const [wanted, parts] of sessions) for (const twin of [pair.haproxy, pair.picogate]) t.is(await openSession(twin, parts), wanted, twin.name);
});
