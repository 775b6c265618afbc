/** Lines of HAProxy, and ours about the same requests. */

import {createSocket} from 'node:dgram';
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import type {Format, FormatPart} from '../../../src/config/sample.ts';
import {startDaemon} from '../../../src/core/command.ts';
import {jsonLine} from '../../../src/edge/logs/json-line.ts';
import type {SessionRecord} from '../../../src/edge/logs/session-record.ts';
import {type StandardFormat, standardFormat} from '../../../src/edge/logs/standard-formats.ts';
import type {SampleContext} from '../../../src/edge/samples/context.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {compiler, contextOf, requestFacts} from '../samples/sample-fixture.ts';
import {expression} from '../samples/sample-text.ts';

const kinds = ['httplog', 'httpslog', 'tcplog', 'default'] as const satisfies readonly StandardFormat[];
const request = `GET /a"b?x={1} HTTP/1.1\r\nHost: ex{am}ple|"x"]\r\nConnection: close\r\n\r\n`;
const flagged =
  '%{+Q}ci %cp %{+Q}b %{+Q}s %ST %{+Q}r %{+Q}hr %hs %{+Q}hrl %hrl %hsl %CC %tsc %HM %HU %HP %HQ %HV %f %ft %ID %[src] %{+Q}[capture.req.hdr(1)] %{+E}[capture.req.hdr(0)] %{+X}ci %{+X}cp %Tw %lc %sslc %rc %sq %fp %fi  %%done';

/** The flags and variables that are in use above. */
function logFormat(text: string): Format {
  return [...text.matchAll(/%%|%(?:\{([^}]*)\})?(?:\[([^\]]*)\]|([A-Za-z]+))|[^%]+/g)].map(([whole, flags = '', sample, name]): FormatPart => {
    const options = {quote: flags.includes('+Q'), escape: flags.includes('+E'), hex: flags.includes('+X'), dashIfMissing: true};
    if (sample !== undefined) return {kind: 'sample', expression: expression(sample), options};
    return name === undefined ? {kind: 'text', text: whole === '%%' ? '%' : whole} : {kind: 'variable', name, argument: '', options};
  });
}

interface Frontend {
  readonly name: string;
  readonly mode: 'http' | 'tcp';
  readonly option: string;
  readonly format: Format;
  readonly captures: boolean;
}

const frontends: readonly Frontend[] = [
  ...kinds.map((kind): Frontend => {
    const mode = kind === 'tcplog' ? 'tcp' : 'http';
    return {name: kind, mode, option: kind === 'default' ? '' : `option ${kind}`, format: standardFormat(kind, mode), captures: false};
  }),
  {name: 'captures', mode: 'http', option: 'option httplog', format: standardFormat('httplog', 'http'), captures: true},
  {name: 'flags', mode: 'http', option: `log-format "${flagged}"`, format: logFormat(flagged), captures: true},
];

const captureLines = ['request header Host', 'request header X-A', 'response header X-B'].map((what) => `  capture ${what} len 20\n`).join('');

function section({name, mode, option, captures}: Frontend, directory: string, port: number): string {
  const reply = mode === 'http' ? 'http-request return status 200' : 'tcp-request content reject';
  return `frontend ${name}\n  mode ${mode}\n  bind unix@${directory}/${name}.sock accept-proxy\n  log 127.0.0.1:${port} format raw local0\n  ${option}\n${captures ? captureLines : ''}  ${reply}\n`;
}

test('log lines are those of HAProxy', async (t) => {
  await using directory = await temporaryDirectory();
  const receiver = createSocket('udp4');
  t.teardown(() => receiver.close());
  const lines: string[] = [];
  receiver.on('message', (message) => lines.push(message.toString('latin1').trimEnd()));
  receiver.bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const file = join(directory.path, 'haproxy.cfg');
  const sections = frontends.map((frontend) => section(frontend, directory.path, receiver.address().port)).join('');
  await writeFile(file, `defaults\n  timeout client 5s\n${sections}`);
  await using haproxy = await startDaemon(['haproxy', '-db', '-f', file], {stdio: 'ignore'});
  t.truthy(haproxy.pid);
  for (const frontend of frontends) {
    await until(() => send(join(directory.path, `${frontend.name}.sock`)), {what: 'HAProxy to listen'});
    await until(() => lines.length > 0, {what: `a line of ${frontend.name}`});
    const wanted = lines.splice(0).at(-1) ?? '';
    t.is(compiler.compileFormat(frontend.format, 'log')(contextLike(frontend, wanted)), wanted);
  }
});

test('a line of JSON says what is known, and nothing that a client sends ends it', (t) => {
  const [frontend] = frontends;
  if (frontend === undefined) throw new Error('no frontend');
  const context = contextLike({...frontend, captures: true}, '');
  const record = {...context.record, wake: {app: 'wiki', ms: 31, trigger: 'tcp/80 GET /a'}} as SessionRecord;
  t.like(JSON.parse(Buffer.from(jsonLine({...context, record}), 'latin1').toString()), {
    time: '1970-01-01T00:00:00.000Z',
    frontend: 'httplog',
    method: 'GET',
    uri: '/a"b?x={1}',
    status: 200,
    captured_request: ['ex{am}ple|"x"]', null],
    wake_app: 'wiki',
    wake_ms: 31,
    wake_trigger: 'tcp/80 GET /a',
  });
  const plain = JSON.parse(jsonLine({...context, record: {...record, wake: null}})) as Record<string, unknown>;
  for (const name of ['wake_app', 'server', 'connect_ms', 'tls_sni']) t.false(name in plain, name);
});

async function send(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    socket.end(`PROXY TCP4 192.0.2.1 198.51.100.2 4000 80\r\n${request}`);
    socket.resume();
    await once(socket, 'close');
    return true;
  } catch {
    // Not there yet.
    return false;
  }
}

/** What HAProxy knew; times are as it has measured them. */
function contextLike(frontend: Frontend, line: string): SampleContext {
  const plain = contextOf();
  const http = frontend.mode === 'http';
  const date = /\[(\d+)\/(\w+)\/(\d+):([\d:.]+)\]/.exec(line);
  const acceptedAtMs = date === null ? 0 : Date.parse(`${date[1] ?? ''} ${date[2] ?? ''} ${date[3] ?? ''} ${date[4] ?? ''}`);
  const total = Number((http ? /-1\/-1\/-1\/(\d+) / : /-1\/-1\/(\d+) /).exec(line)?.[1] ?? 0);
  const received = Number(/ (\d+)\/-1\/-1\/-1\/\d+ /.exec(line)?.[1] ?? 0);
  const record: SessionRecord = {
    times: {
      acceptedAtMs,
      requestAtMs: acceptedAtMs,
      handshakeMs: 0,
      idleMs: 0,
      requestMs: received,
      waitMs: null,
      connectMs: null,
      responseMs: null,
      activeMs: total,
      totalMs: total,
    },
    counts: {process: 1, frontend: 1, backend: 0, server: 0, retries: 0, redispatched: false, serverQueue: 0, backendQueue: 0},
    requestNumber: 1,
    lineNumber: 0,
    backend: null,
    server: null,
    serverAddress: null,
    backendSource: null,
    request: requestFacts(request),
    status: 200,
    bytesFromServer: http ? 49 : 0,
    bytesFromClient: 0,
    termination: http ? 'LR--' : 'PR--',
    requestCookie: null,
    responseCookie: null,
    wake: null,
  };
  const slots = (['request', 'request', 'response'] as const).map((of) => ({header: null, length: 20, of}));
  const captures = frontend.captures ? slots : [];
  const config = {...plain.connection.frontend, name: frontend.name, mode: frontend.mode, captures};
  return {...plain, record, connection: {...plain.connection, frontend: config}, captures: frontend.captures ? ['ex{am}ple|"x"]', null, null] : []};
}
