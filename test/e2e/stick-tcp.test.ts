/** `stick store-response` in mode tcp: what is learnt from what a server says, by Debian's HAProxy and by our program. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

/** The lines of each listener, and how many keys its table has in the end. */
const listeners: Readonly<Record<string, readonly [keys: number, lines: string]>> = {
  WAITS: [
    2,
    `
  tcp-request inspect-delay 2s
  tcp-request content accept if { req.len ge 6 }
  tcp-response inspect-delay 2s
  tcp-response content accept if { res.len ge 8 }
  stick match req.payload(0,6)
  stick store-response res.payload(2,6)`,
  ],
  LENGTHS: [
    2,
    `
  tcp-response inspect-delay 2s
  tcp-response content accept if { res.len ge 8 }
  stick store-response res.payload_lv(0,2),lower if { res.payload(2,1) -m bin 53 }`,
  ],
  ENDS: [
    1,
    `
  tcp-response inspect-delay 150ms
  tcp-response content accept if { res.len ge 800 }
  stick store-response res.payload(2,2)`,
  ],
  FIRST: [
    2,
    `
  tcp-response inspect-delay 2s
  tcp-response content accept if { res.len ge 8 }
  stick store-response res.payload(2,60)
  stick store-response str(never) if { res.payload(2,1) -m bin 54 }
  stick store-response res.payload(2,5)
  stick store-response res.payload(2,4)`,
  ],
  BOTH: [
    4,
    `
  tcp-request inspect-delay 2s
  tcp-request content accept if { req.len ge 6 }
  tcp-response inspect-delay 2s
  tcp-response content accept if { res.len ge 8 }
  stick store-request req.payload(0,6)
  stick store-response res.payload(2,6)`,
  ],
  EARLY: [
    1,
    `
  stick store-response res.payload(2,6)
  stick store-response src`,
  ],
  DECIDES: [
    0,
    `
  tcp-response content accept if { res.len ge 800 }
  stick store-response res.payload(2,6)`,
  ],
  UNSTUCK: [
    0,
    `
  default-server non-stick
  tcp-response inspect-delay 2s
  tcp-response content accept if { res.len ge 8 }
  stick store-response res.payload(2,6)`,
  ],
  REFUSES: [
    0,
    `
  tcp-response inspect-delay 2s
  tcp-response content reject if { res.len ge 8 }
  stick store-response res.payload(2,6)`,
  ],
};

const names = Object.keys(listeners);

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode tcp
  timeout client 5s
  timeout server 5s
  timeout connect 5s
${names
  .map(
    (name) => `listen ${name}
  bind 127.0.0.1:\${${name}}
  balance roundrobin
  stick-table type string len 16 size 100 expire 1m${listeners[name]?.[1] ?? ''}
  server one 127.0.0.1:\${ONE}
  server two 127.0.0.1:\${TWO}`,
  )
  .join('\n')}
`;

/** @returns what came back, until it was over */
async function say(twin: Twin, listener: string, text: string): Promise<string> {
  const client = connect({host: '127.0.0.1', port: twin.port(listener)});
  client.on('error', () => undefined);
  client.write(text);
  let answer = '';
  client.setEncoding('latin1').on('data', (part: string) => {
    answer += part;
  });
  await once(client, 'close');
  return answer;
}

/** Which keys belong to which server. */
async function table(twin: Twin, name: string): Promise<readonly string[]> {
  const text = await askSocket(join(twin.directory, 'admin.sock'), `show table ${name}\n`);
  return [...text.matchAll(/key=(\S+) .*server_id=(\d+)/g)].map(([, key = '', id = '']) => `${key} ${id}`).sort();
}

pairTest('servers are learnt from what they say, as with HAProxy', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  /** Says its name in two parts, once it has heard something. */
  const origin = async (name: string): Promise<string> =>
    serve(
      scope,
      createServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => {
          socket.write('\0');
          setTimeout(() => socket.write(`\x06${name.slice(0, 2)}`), 40);
          setTimeout(() => socket.end(name.slice(2)), 400);
        });
      }),
      () => undefined,
    );
  const values = {ONE: await origin('Srv-on'), TWO: await origin('Srw-tw')};
  const pair = scope.use(await startPair({configuration, ports: names, values, directory: directory.path}));
  const course = async (twin: Twin): Promise<{readonly answers: unknown; readonly tables: Readonly<Record<string, readonly string[]>>}> => {
    const answers = await Promise.all(
      names.map(async (name) => {
        const heard: string[] = [];
        for (const text of ['client', 'second', 'Srv-on', 'Srv-on', 'Srw-tw', 'Srw-tw']) heard.push(await say(twin, name, text));
        return [name, heard] as const;
      }),
    );
    const tables = await Promise.all(names.map(async (name) => [name, await table(twin, name)] as const));
    return {answers: Object.fromEntries(answers), tables: Object.fromEntries(tables)};
  };
  const [theirs, ours] = await Promise.all([course(pair.haproxy), course(pair.picogate)]);
  t.deepEqual(ours, theirs);
  for (const name of names) t.is(ours.tables[name]?.length, listeners[name]?.[0], name);
});
