/** `tls-ticket-keys`: with which listeners sessions of TLS go on, and what the runtime API says of the keys, by Debian's HAProxy and by our program. */
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {connect, type SecureVersion} from 'node:tls';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode http
  timeout client 5s
frontend f
  bind 127.0.0.1:\${ONE} ssl crt \${SERVER} tls-ticket-keys \${KEYS}
  bind 127.0.0.1:\${TWO} ssl crt \${SERVER} tls-ticket-keys \${KEYS}
  bind 127.0.0.1:\${OTHER} ssl crt \${SERVER} tls-ticket-keys \${OTHERS}
  http-request return status 200
`;

interface Visit {
  readonly isReused: boolean;
  readonly session: Buffer;
}

/** A request over a connection of its own. @param session of an earlier one, to go on with */
async function visit(port: number, version: SecureVersion, session?: Buffer): Promise<Visit> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session === undefined ? {} : {session}),
  });
  socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
  let latest = session ?? Buffer.alloc(0);
  let isReused = false;
  socket.once('secureConnect', () => {
    isReused = socket.isSessionReused();
  });
  socket.on('session', (one: Buffer) => {
    latest = one;
  });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  return {isReused, session: latest};
}

function keys(count: number): readonly string[] {
  return Array.from({length: count}, () => randomBytes(48).toString('base64'));
}

pairTest('clients go on with a session at listeners with the same keys, and the keys can be replaced', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const server = await makeTestCertificate(path, {file: 'server', names: ['server.test']});
  const own = keys(5);
  const next = keys(2);
  await writeFile(join(path, 'keys'), own.map((key) => `${key}\n`).join(''));
  await writeFile(join(path, 'others'), keys(3).join('\r\n'));
  const values = {SERVER: server.pemFile, KEYS: join(path, 'keys'), OTHERS: join(path, 'others')};
  const pair = scope.use(await startPair({configuration, ports: ['ONE', 'TWO', 'OTHER'], values, directory: path}));
  const ask = (twin: Twin, words: string): Promise<string> => askSocket(join(twin.directory, 'admin.sock'), `${words}\n`);
  const both = async (words: string): Promise<string> => {
    const answer = await ask(pair.picogate, words);
    t.is(answer, await ask(pair.haproxy, words), words);
    return answer;
  };
  for (const words of ['', ' *', ' #0', ' #1', ` ${values.KEYS}`, ' nope', ' #7']) await both(`show tls-keys${words}`);
  t.true((await both('show tls-keys #1')).includes(`1.1 ${own[3] ?? ''}`));

  const versions = ['TLSv1.2', 'TLSv1.3'] as const;
  const sessions = new Map<Twin, Visit[]>();
  for (const twin of [pair.picogate, pair.haproxy]) {
    for (const version of versions) {
      const first = await visit(twin.port('ONE'), version);
      t.false(first.isReused);
      for (const [where, wanted] of [
        ['ONE', true],
        ['TWO', true],
        ['OTHER', false],
      ] as const) {
        t.is((await visit(twin.port(where), version, first.session)).isReused, wanted, `${twin.name} ${version} ${where}`);
      }
      sessions.set(twin, [...(sessions.get(twin) ?? []), first]);
    }
  }
  for (const words of ['', ' #1', ' nope x', ` #1 x`, ' #1 YWFh', ` #1 ${next[0] ?? ''}`]) await both(`set ssl tls-key${words}`);
  t.true((await both(`show tls-keys ${values.KEYS}`)).includes(`1.2 ${next[0] ?? ''}`));
  for (const [index, version] of versions.entries()) {
    const again = async (twin: Twin): Promise<boolean> => (await visit(twin.port('TWO'), version, sessions.get(twin)?.[index]?.session)).isReused;
    // HAProxy still takes tickets of the key before; Node has one key.
    t.true(await again(pair.haproxy));
    t.false(await again(pair.picogate));
    const fresh = await visit(pair.picogate.port('ONE'), version);
    t.true((await visit(pair.picogate.port('TWO'), version, fresh.session)).isReused);
  }
});
