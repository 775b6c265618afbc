import {once} from 'node:events';
import {mkdtemp, readdir, rm, stat, writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {CommandReader, maxLineBytes, maxPayloadBytes} from '../../src/admin/command-line.ts';
import {commands} from '../../src/admin/commands.ts';
import type {GatewayControl, SessionControl} from '../../src/admin/gateway-control.ts';
import {openStatsSocket} from '../../src/admin/stats-socket.ts';
import {systemClock} from '../../src/core/clock.ts';
import {run} from '../../src/core/command.ts';
import {fc} from '../helpers/properties.ts';
import {until} from '../helpers/until.ts';
import {memoryGateway} from './memory-gateway.ts';
import {askSocket, statsSocket} from './stats-client.ts';

async function opened(t: ExecutionContext, control: GatewayControl = memoryGateway(), options: Parameters<typeof statsSocket>[2] = {}): Promise<string> {
  const directory = await mkdtemp('/tmp/picogate-test-');
  const path = join(directory, 'admin.sock');
  const socket = await statsSocket(path, control, options);
  t.teardown(async () => {
    await socket[Symbol.asyncDispose]();
    await socket[Symbol.asyncDispose]();
    if ((await readdir(directory)).includes('admin.sock')) throw new Error('the socket file is still there');
    await rm(directory, {recursive: true});
  });
  return path;
}

test('socat gets one answer and the end', async (t) => {
  const path = await opened(t);
  const {stdout} = await run(['socat', '-t5', '-', `UNIX-CONNECT:${path}`], {timeoutMs: 5000, input: 'show backend\n'});
  t.is(stdout, '# name\nbk\ntl\n\n');
});

test('the socket has its mode, and a file that is no socket is not replaced', async (t) => {
  const path = await opened(t);
  t.is((await stat(path)).mode & 0o777, 0o600);
  const other = `${path}.file`;
  await writeFile(other, 'precious');
  await t.throwsAsync(statsSocket(other, memoryGateway()), {code: 'ERR_BIND', message: /there is a file that is no socket/});
  await t.throwsAsync(statsSocket('/proc/nonexistent/x.sock', memoryGateway()), {code: 'ERR_BIND', message: /no such directory/});
});

test('over TCP it is the same', async (t) => {
  await using socket = await openStatsSocket({
    address: {kind: 'tcp', host: '127.0.0.1', port: 0},
    level: 'user',
    exposesListeners: false,
    timeoutMs: 5000,
    maxconn: 10,
    control: memoryGateway(),
    sockets: [],
    clock: systemClock,
  });
  const {stdout} = await run(['socat', '-t5', '-', `TCP:127.0.0.1:${socket.port ?? 0}`], {timeoutMs: 5000, input: 'show cli level;disable server bk/s1\n'});
  t.is(stdout, 'user\n\nPermission denied\n\n');
});

test('a client that says nothing is closed after the time-out, also in the middle of a line', async (t) => {
  const path = await opened(t, memoryGateway(), {timeoutMs: 100});
  for (const text of ['', 'show ver', 'prompt\n', 'add map #1 <<\nline\n']) {
    const socket = connect({path});
    socket.resume();
    socket.write(text);
    await once(socket, 'close');
  }
  t.pass();
});

test('a client that does not read its answer is closed, and nothing is made in advance', async (t) => {
  const session: SessionControl = {
    id: 1,
    protocol: 'tcp',
    source: '192.0.2.1:1',
    frontend: 'fe',
    backend: 'bk',
    server: 's1',
    app: null,
    ageMs: 1,
    idleMs: 1,
    busy: false,
    shutdown: () => undefined,
  };
  const made = {count: 0, ended: false};
  const control: GatewayControl = {
    ...memoryGateway(),
    *sessions() {
      try {
        for (; made.count < 1e7; made.count++) yield session;
      } finally {
        made.ended = true;
      }
    },
  };
  const path = await opened(t, control, {timeoutMs: 100});
  const socket = connect({path});
  socket.pause();
  socket.write('show sess\n');
  await until(() => made.ended);
  t.true(made.count > 0 && made.count < 100_000, `${made.count} lines were made`);
  socket.destroy();
});

test('a line without end closes the connection', async (t) => {
  const path = await opened(t);
  t.is(await askSocket(path, 'a'.repeat(10 * maxLineBytes)), '');
  t.is(await askSocket(path, `show backend ${'a'.repeat(2 * maxLineBytes)}\n`), '');
  t.is(await askSocket(path, `add map #1 <<\n${'/a b\n'.repeat(maxPayloadBytes / 4)}\n`), '');
  t.is(await askSocket(path, 'show cli level'), '', 'a line that has not ended is not carried out');
});

test('words, escapes, commands and payloads are found in whatever pieces they come', (t) => {
  const text = 'show  a\\ b;c\\;d\te\r\nset ssl cert x <<\nline 1\n\\;line\n\nlast\n';
  const expected = [
    {words: ['show', 'a b'], payload: null},
    {words: ['c;d', 'e'], payload: null},
    {words: ['set', 'ssl', 'cert', 'x'], payload: 'line 1\n\\;line\n'},
    {words: ['last'], payload: null},
  ];
  for (let size = 1; size <= text.length; size++) {
    const reader = new CommandReader();
    const bytes = Buffer.from(text);
    const found: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      for (const read of reader.read(bytes.subarray(at, at + size))) if (read.kind === 'request') found.push(read.request);
    }
    t.deepEqual(found, expected, `pieces of ${size}`);
  }
});

test('commands of ours: apps', async (t) => {
  const calls: string[] = [];
  const path = await opened(
    t,
    memoryGateway({
      apps: [
        {
          name: 'wiki',
          state: 'hibernated',
          address: '10.77.0.5',
          lastWake: {atMs: Date.now() - 65_000, tookMs: 31.4, trigger: 'connection tcp 80'},
          lastHibernate: null,
          lastError: 'two\nlines',
          pinned: {by: 'operator', untilMs: 0},
          wake: async () => void calls.push('wake'),
          hibernate: async ({force}) => {
            calls.push(force ? 'force' : 'hibernate');
            return 'cancelled';
          },
          pin: async (untilMs) => void calls.push(untilMs === null ? 'pin' : `pin for ${Math.round((untilMs - Date.now()) / 60_000)} minutes`),
          unpin: async () => void calls.push('unpin'),
        },
      ],
    }),
  );
  t.is(
    await askSocket(path, 'show app\n'),
    '# name state address last_wake_ms last_wake_age last_hibernate_ms last_hibernate_age\nwiki hibernated 10.77.0.5 31 1m5s - -\n\n',
  );
  t.regex(await askSocket(path, 'show app wiki\n'), /^last_error: two lines\npinned: by an operator until 1970-01-01T00:00:00\.000Z$/m);
  t.is(await askSocket(path, 'wake app wiki\n'), '\n');
  const cancelled = 'Somebody asked for the app meanwhile: it goes on running.\n\n';
  t.is(await askSocket(path, 'hibernate app wiki\n'), cancelled);
  t.is(await askSocket(path, 'wake app none;wake app\n'), 'No such app.\n\nAn app name is expected.\n\n');
  t.is(await askSocket(path, 'hibernate app wiki force;pin app wiki;pin app wiki 8h;unpin app wiki\n'), `${cancelled}\n\n\n`);
  t.deepEqual(calls, ['wake', 'hibernate', 'force', 'pin', 'pin for 480 minutes', 'unpin']);
  t.is(await askSocket(path, 'hibernate app wiki now\n'), "Only 'force' may follow the app name.\n\n");
  for (const time of ['10', '0s', 'x', '8y']) t.is(await askSocket(path, `pin app wiki ${time}\n`), 'Expects a time with its unit, as 30m or 8h.\n\n');
});

test('certificates: a wrong one is refused before it is used', async (t) => {
  const path = await opened(t);
  t.is(await askSocket(path, 'set ssl cert /x.pem <<\n-----BEGIN\n\n'), 'Transaction created for certificate /x.pem!\n\n');
  t.is(await askSocket(path, 'show ssl cert\n'), '# transaction\n*/x.pem\n# filename\n\n');
  t.is(await askSocket(path, 'commit ssl cert /x.pem\n'), 'Committing /x.pem.\nSuccess!\n\n');
  t.is(await askSocket(path, 'abort ssl cert /x.pem\n'), 'No ongoing transaction!\n\n');
});

test('the master speaks to the one process that there is', async (t) => {
  const path = await opened(t);
  t.is(await askSocket(path, '@1 show cli level;@master show cli level;@!4711 show cli level\n'), 'admin\n\nadmin\n\nadmin\n\n');
  t.is(await askSocket(path, '@2 show cli level\n'), "Can't find the target PID matching the prefix '@2'\n\n");
  t.regex(
    await askSocket(path, 'show proc\n'),
    /^#<PID> +<type> +<reloads> +<uptime> +<version>\n4711 +master +0 \[failed: 0\] +0d00h00m33s +2\.6\.0\n# workers\n/,
  );
  t.is(await askSocket(path, 'reload\n'), 'Success=1\n\n');
});

test('random commands and bytes are answered or closed, and the socket goes on', async (t) => {
  const path = await opened(t);
  const names = commands.map(({name}) => name).filter((name) => name !== 'show env');
  const word = fc.oneof(
    fc.constantFrom('bk/s1', 'bk', 'fe', '#0', '#1', '0x1', '-1', '<<', 'key', 'data.conn_cnt', 'gt', '99999999999999999999', 'all', '50%', ''),
    fc.string(),
  );
  const command = fc.tuple(fc.constantFrom(...names), fc.array(word, {maxLength: 5})).map(([name, args]) => `${[name, ...args].join(' ')}\n\n`);
  const bytes = fc.uint8Array({maxLength: 300}).map((array) => Buffer.from(array));
  await fc.assert(
    fc.asyncProperty(fc.oneof(command, bytes), async (input) => {
      await askSocket(path, input);
    }),
    {numRuns: 500},
  );
  t.is(await askSocket(path, 'show cli level\n'), 'admin\n\n');
});
