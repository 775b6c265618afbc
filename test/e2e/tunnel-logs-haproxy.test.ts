/** What Debian's HAProxy and our program log of connections that are no longer HTTP. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
defaults
  mode http
  log 127.0.0.1:\${LOG} local0
  log-format "%U %B %ST %ts %{+Q}r"
  timeout client 2s
  timeout server 2s
  timeout connect 5s
listen plain
  bind 127.0.0.1:\${PLAIN}
  server one 127.0.0.1:\${ORIGIN}
listen refuses
  bind 127.0.0.1:\${REFUSES}
  http-response deny if { status 101 }
  server one 127.0.0.1:\${ORIGIN}
`;

const upgrade =
  'GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';
const tunnel = 'CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n';

/** Answers what it is told in capitals, three times as long, and ends after it. */
function speak(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.once('data', (head: Buffer) => {
    const isConnect = head.toString('latin1').startsWith('CONNECT');
    socket.write(
      isConnect
        ? 'HTTP/1.1 200 OK\r\n\r\n'
        : 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    );
    socket.on('data', (data: Buffer) => void socket.end(data.toString('latin1').toUpperCase().repeat(3)));
  });
}

interface Said {
  readonly fromClient: number;
  readonly toClient: number;
  /** What its client got, and the rest of the log line. */
  readonly rest: string;
}

async function say(twin: Twin, port: string, head: string, text: string): Promise<Said> {
  const linesBefore = twin.lines.length;
  const client = connect({host: '127.0.0.1', port: twin.port(port)});
  let answer = '';
  client.on('error', () => undefined);
  client.on('data', (data: Buffer) => {
    answer += data.toString('latin1');
    if (answer.includes('\r\n\r\n') && text !== '') {
      client.write(text);
      text = '';
    }
  });
  client.write(head);
  await once(client, 'close');
  await until(() => twin.lines.length > linesBefore, {what: `${twin.name} to log a tunnel`});
  const [, fromClient = '', toClient = '', rest = ''] = /^.*?\]: (\d+) (\d+) (.*)$/.exec(twin.lines[linesBefore] ?? '') ?? [];
  return {fromClient: Number(fromClient), toClient: Number(toClient), rest: `${answer.length} bytes ${answer.replaceAll(/\r\n.*/gs, '')}; ${rest}`};
}

/** What a head counts for differs: HAProxy has it in another form in memory. So two are compared. */
async function course(twin: Twin): Promise<readonly string[]> {
  const told: string[] = [];
  for (const head of [upgrade, tunnel]) {
    const short = await say(twin, 'PLAIN', head, 'hello');
    const long = await say(twin, 'PLAIN', head, 'hello to the server');
    told.push(`${long.fromClient - short.fromClient} more from the client, ${long.toClient - short.toClient} more to it; ${short.rest}; ${long.rest}`);
    told.push(`with its head: ${short.fromClient > 'hello'.length} ${short.toClient > 3 * 'hello'.length}`);
  }
  told.push((await say(twin, 'REFUSES', upgrade, '')).rest);
  return told;
}

pairTest('what both sides of a tunnel said is counted, and an answer that a rule refuses makes none', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origin = await serve(scope, createServer(), speak);
  const pair = scope.use(await startPair({configuration, ports: ['PLAIN', 'REFUSES'], values: {ORIGIN: origin}, directory: directory.path}));
  const [theirs, ours] = await Promise.all([course(pair.haproxy), course(pair.picogate)]);
  t.deepEqual(ours, theirs);
});
