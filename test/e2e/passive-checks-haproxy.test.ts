/** `observe`: the same servers, traffic and errors for Debian's HAProxy and for the program, and the states of the servers after them. */
import {connect, type Socket} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext, type TestFn} from 'ava';
import {run} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {testServer} from '../edge/edge-fixture.ts';
import {startHaproxy} from '../edge/haproxy.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {parseStat, type StatLine} from './stat-table.ts';

const hasHaproxy = await run(['haproxy', '-v'], {timeoutMs: 5000}).then(
  () => true,
  () => false,
);
const haproxyTest: TestFn | TestFn['skip'] = hasHaproxy ? test : test.skip;

/** Does what the path of a request says: a status, or something that is no answer. */
function misbehave(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.once('data', (data: Buffer) => {
    const word = /^\S+ \/\S*?\/(\S+)/.exec(data.toString('latin1'))?.[1] ?? '';
    if (/^\d+$/.test(word)) socket.end(`HTTP/1.1 ${word} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    else if (word === 'junk') socket.end('what?\r\n\r\n');
    else if (word === 'junk-body') socket.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000\r\n${'x'.repeat(0x10000)}\r\nzz\r\n`);
    else if (word === 'closed') socket.end();
    else if (word === 'reset') socket.resetAndDestroy();
    else if (word === 'cut') socket.end('HTTP/1.1 20');
    else if (word === 'late') socket.write('');
    else socket.end(`HTTP/1.1 400 unknown ${word}\r\ncontent-length: 0\r\n\r\n`);
  });
}

/** Name, settings after `check observe`, what is asked for one after the other. */
const ofHttp = [
  ['failed', 'layer7 error-limit 3', '500 503 200 500 502 500'],
  ['nearly', 'layer7 error-limit 3', '500 503 200 500 502'],
  ['twice', 'layer7 error-limit 2', '500 500 500 500'],
  ['down', 'layer7 error-limit 2 on-error fail-check fall 1', '500 500'],
  ['sudden', 'layer7 error-limit 2 on-error sudden-death', '500 500'],
  ['sudden-twice', 'layer7 error-limit 2 on-error sudden-death', '500 500 500 500'],
  ['marked', 'layer7 error-limit 2 on-error mark-down', '500 500'],
  ['hurried', 'layer7 error-limit 2 on-error fastinter', '500 500 500 500'],
  ['ten', 'layer7', '500 500 500 500 500 500 500 500 500'],
  ['innocent', 'layer7 error-limit 1', '200 304 404 499 501 505'],
  ['strange', 'layer7 error-limit 1', '599'],
  ['junk', 'layer7 error-limit 1', 'junk'],
  ['junk-body', 'layer7 error-limit 1', 'junk-body'],
  ['closed', 'layer7 error-limit 1', 'closed'],
  ['reset', 'layer7 error-limit 1', 'reset'],
  ['cut', 'layer7 error-limit 1', 'cut'],
  ['late', 'layer7 error-limit 1', 'late'],
  ['lower', 'layer4 error-limit 1', '500 closed 500'],
  ['none', 'none', '500 500 500 500 500 500 500 500 500 500 500'],
] as const;
/** Their traffic goes to a port that is closed. */
const unconnected = [
  ['refused', 'http', 'layer4 error-limit 3', 3],
  ['refused7', 'http', 'layer7 error-limit 3 on-error mark-down', 3],
  ['refused-less', 'http', 'layer4 error-limit 3', 2],
  ['refused-tcp', 'tcp', 'layer4 error-limit 2 on-error mark-down', 2],
] as const;

interface Side {
  readonly http: number;
  readonly tcp: number;
  readonly ask: (command: string) => Promise<string>;
}

async function openBoth(t: ExecutionContext): Promise<readonly Side[]> {
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const origin = await testServer(misbehave);
  t.teardown(() => origin[Symbol.asyncDispose]());
  const closed = await freePort();
  const names = [...ofHttp.map(([name]) => name), ...unconnected.flatMap(([name, mode]) => (mode === 'http' ? [name] : []))];
  // The first checks come soon, in HAProxy's way and in ours, and no more after them.
  const configuration = (socket: string, [http, tcp]: readonly number[]): string => `global
  stats socket ${socket} mode 600 level admin
.if !feature(PICOGATE)
  max-spread-checks 100
.endif
defaults
  timeout connect 1s
  timeout client 5s
  timeout server 300ms
  retries 0
frontend f
  mode http
  bind 127.0.0.1:${http}
${names.map((name) => `  use_backend ${name} if { path_beg /${name}/ }`).join('\n')}
frontend t
  bind 127.0.0.1:${tcp}
  default_backend refused-tcp
backend often
  server s 127.0.0.1:${origin.port} check inter 1s
${ofHttp.map(([name, settings]) => `backend ${name}\n  mode http\n  server s 127.0.0.1:${origin.port} check inter 1h observe ${settings}`).join('\n')}
${unconnected.map(([name, mode, settings]) => `backend ${name}\n  mode ${mode}\n  server s 127.0.0.1:${closed} check inter 1h port ${origin.port} observe ${settings}`).join('\n')}
`;
  const side = async (name: string, start: (text: string, socket: string) => Promise<unknown>): Promise<Side> => {
    const ports = [await freePort(), await freePort()];
    const socket = join(directory, `${name}.sock`);
    await start(configuration(socket, ports), socket);
    const [http = 0, tcp = 0] = ports;
    return {http, tcp, ask: (command) => askSocket(socket, `${command}\n`)};
  };
  const theirs = await side('theirs', async (text, socket) => {
    const haproxy = await startHaproxy(directory, text, socket);
    t.teardown(() => haproxy[Symbol.asyncDispose]());
  });
  const ours = await side('ours', (text) => dropInProgram(t, text));
  return [theirs, ours];
}

/** Waits for the end of whatever the answer is. @param bytes a path: it is asked for over HTTP */
async function request(port: number, bytes: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.write(bytes.startsWith('/') ? `GET ${bytes} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n` : bytes);
  await new Promise((resolve) => void socket.once('close', resolve));
}

const columns = ['status', 'hanafail', 'chkfail', 'chkdown', 'check_status', 'last_chk', 'check_desc', 'check_health', 'check_code', 'econ'] as const;

function facts(row: StatLine | undefined): Record<string, string | undefined> {
  return Object.fromEntries(columns.map((column) => [column, row?.[column]]));
}

haproxyTest('errors in traffic do to a server what they do to it in HAProxy', async (t) => {
  t.timeout(60_000);
  const sides = await openBoth(t);
  const found = await Promise.all(
    sides.map(async ({http, tcp, ask}) => {
      const rows = async (): Promise<ReadonlyMap<string, StatLine>> => parseStat(await ask('show stat'));
      await until(async () => [...(await rows())].every(([name, row]) => !name.endsWith('/s') || name === 'often/s' || row.check_status === 'L4OK'));
      for (const [name, , words] of ofHttp) for (const word of words.split(' ')) await request(http, `/${name}/${word}`);
      for (const [name, mode, , times] of unconnected) {
        for (let count = 0; count < times; count++) await (mode === 'http' ? request(http, `/${name}/`) : request(tcp, 'hello'));
      }
      return {rows: await rows(), state: await ask('show servers state')};
    }),
  );
  const [theirs, ours] = found;
  const of = (side: typeof theirs): unknown => Object.fromEntries([...ofHttp, ...unconnected].map(([name]) => [name, facts(side?.rows.get(`${name}/s`))]));
  t.deepEqual(of(ours), of(theirs));
  // Neither the times since the last changes, nor the server that is checked all the time.
  const stable = (text: string | undefined): string[] =>
    (text ?? '')
      .split('\n')
      .filter((line) => !line.includes(' often '))
      .map((line) =>
        line
          .split(' ')
          .filter((_word, at) => at !== 9)
          .join(' '),
      );
  t.deepEqual(stable(ours?.state), stable(theirs?.state));
});
