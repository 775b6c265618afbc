/** Headers and structured data of lines that Debian's HAProxy and our program send for the same traffic: the same ones. */
import {existsSync} from 'node:fs';
import {connect} from 'node:net';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const formats = ['rfc3164', 'rfc5424', 'short', 'raw', 'timed', 'iso', 'local', 'priority'] as const;
const toAll = ['', ...formats.map((format) => `format ${format}`)].map((format) => `log 127.0.0.1:\${LOG} ${format} local0`).join('\n  ');
const everyValue =
  '[a@1  path="%HP" uri="%{+E}HU" line=%{+E,+Q}r agent="%{+E}[capture.req.hdr(0)]" plain="%[capture.req.hdr(0)]"   all="%{+E}hr" each=%{+E,+Q}hrl none="%[var(txn.none)]"]';
const configuration = `
global
  \${GLOBAL}
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  log-tag gate
  ${toAll}
frontend values
  bind 127.0.0.1:\${VALUES}
  log-format "%HM %ST"
  log-format-sd '${everyValue}'
  http-request capture req.hdr(user-agent) len 50
  http-request return status 200
frontend blanks
  bind 127.0.0.1:\${BLANKS}
  log-format "%HM %ST"
  log-format-sd "  [b]  [c]   "
  http-request return status 200
frontend missing
  bind 127.0.0.1:\${MISSING}
  log-format "%HM %ST"
  log-format-sd "%{-M}[var(txn.none)]"
  http-request return status 200
frontend default
  bind 127.0.0.1:\${DEFAULT}
  log-format-sd "[d]"
  http-request return status 200
frontend failing
  bind 127.0.0.1:\${FAILING} accept-proxy
  option httplog
  log-format-sd "[e]"
  http-request return status 200
frontend failing-format
  bind 127.0.0.1:\${FAILING_FORMAT} accept-proxy
  log-format-sd "[f from=\\"%ci\\"]"
  error-log-format "failed %ci"
  http-request return status 200
`;
const ports = ['VALUES', 'BLANKS', 'MISSING', 'DEFAULT', 'FAILING', 'FAILING_FORMAT'] as const;

/** Settles when the other side has closed. */
async function send(port: number, text: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {
    // It is refused; 'close' follows.
  });
  const closed = new Promise((resolve) => void socket.once('close', resolve));
  socket.resume();
  socket.write(Buffer.from(text, 'latin1'));
  await closed;
}

const request = (agent: string): string => `GET /x]y\\z?\\] HTTP/1.1\r\nHost: a\r\nUser-Agent: ${agent}\r\nConnection: close\r\n\r\n`;

/** The lines of each step, in the order of the targets. */
async function linesOf(twin: Twin): Promise<string[][]> {
  const steps: readonly (readonly [(typeof ports)[number], string])[] = [
    ['VALUES', request('cu"r]l\\x é%22 {1|2}')],
    ['VALUES', request('')],
    ['VALUES', 'no request\r\n\r\n'],
    ['BLANKS', request('b')],
    ['MISSING', request('c')],
    ['DEFAULT', request('d')],
    ['FAILING', request('no PROXY header')],
    ['FAILING_FORMAT', request('no PROXY header')],
  ];
  const found: string[][] = [];
  for (const [port, text] of steps) {
    const before = twin.lines.length;
    await send(twin.port(port), text);
    const count = formats.length + 1;
    await until(() => twin.lines.length >= before + count, {what: `lines of ${twin.name} about ${port}`});
    found.push(twin.lines.slice(before).map(normal));
  }
  return found;
}

/** Without what differs by nature: dates, the number of the process, ports. */
function normal(line: string): string {
  const undated = line
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d/, 'ISO')
    .replace(/[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d /, 'DATE ')
    .replace(/\[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d\.\d{3}\]/, '[DATE]');
  const ports = undated.replace(/127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+/, 'CLIENT to BIND').replace(/127\.0\.0\.1:\d+ \[DATE\]/, 'CLIENT [DATE]');
  return ports.replace(/gate\[\d+\]/, 'gate[PID]').replace(/gate \d+ -/, 'gate PID -');
}

for (const [title, global] of [
  ['without log-send-hostname', ''],
  ['with log-send-hostname', 'log-send-hostname edge.test'],
] as const) {
  pairTest(`lines have the headers and structured data of HAProxy, ${title}`, async (t) => {
    await using directory = await temporaryDirectory();
    await using pair = await startPair({configuration, ports, values: {GLOBAL: global}, directory: directory.path});
    const expected = await linesOf(pair.haproxy);
    const host = global === '' ? '-' : 'edge.test';
    t.is(expected[3]?.[2], `<134>1 ISO ${host} gate PID - [b] [c] GET 200`);
    t.deepEqual(await linesOf(pair.picogate), expected);
  });
}

const lengths = Array.from({length: 20}, (_, index) => 92 + index);
const facilities = ['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'auth2', 'ftp', 'ntp', 'audit', 'alert', 'cron2'];
const names = [...facilities, ...Array.from({length: 8}, (_, index) => `local${index}`)];
const structured = `[${'a'.repeat(40)}]`;
const short = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  log-tag gate
frontend f
  bind 127.0.0.1:\${PORT}
  log-format "message %HM %ST"
  log-format-sd "${structured}"
  http-request return status 200
  ${lengths.map((length, index) => `log 127.0.0.1:\${LOG} len ${length} format rfc5424 ${names[index] ?? ''}`).join('\n  ')}
`;

/** What follows the header, by the bytes that there were for it: numbers of processes have not always as many digits. */
async function cutLines(twin: Twin): Promise<Map<number, string>> {
  await send(twin.port('PORT'), request('a'));
  await until(() => twin.lines.length >= lengths.length, {what: `lines of ${twin.name}`});
  const rests = new Map<number, string>();
  for (const line of twin.lines) {
    const [, priority = '', rest = ''] = /^<(\d+)>1 \S+ - gate \d+ -(.*)$/.exec(line) ?? [];
    rests.set((lengths[Number(priority) >> 3] ?? 0) - (line.length - rest.length), rest);
  }
  return rests;
}

pairTest('structured data that a line has no room for are left out as HAProxy leaves them out', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration: short, ports: ['PORT'], values: {}, directory: directory.path});
  const [haproxy, picogate] = await Promise.all([cutLines(pair.haproxy), cutLines(pair.picogate)]);
  for (const room of [42, 43, 44, 45, 46, 47]) {
    t.is(picogate.get(room), haproxy.get(room), `${room} bytes`);
  }
  t.is(haproxy.get(43), '');
  t.is(haproxy.get(45), ` ${structured} m`);
});
