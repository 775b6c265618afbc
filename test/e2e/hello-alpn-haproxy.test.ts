/** `req.ssl_alpn` of a client that offers several protocols: where Debian's HAProxy and our program send it, and what they write down. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect} from 'node:tls';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
defaults
  mode tcp
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend tls
  bind 127.0.0.1:\${TLS}
  log 127.0.0.1:\${LOG} local0
  log-format "%b %[var(sess.alpn)]"
  tcp-request inspect-delay 5s
  tcp-request content set-var(sess.alpn) req.ssl_alpn
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend modern if { req.ssl_alpn h2 h3 }
  use_backend challenge if { req.ssl_alpn acme-tls/1 }
  use_backend any if { req.ssl_alpn -m found }
  default_backend none
backend modern
backend challenge
backend any
backend none
`;

const offers = [['h2', 'http/1.1'], ['http/1.1', 'h2'], ['http/1.1'], ['spdy/3', 'acme-tls/1'], ['acme-tls/1'], []];

async function course(twin: Twin): Promise<readonly string[]> {
  for (const [index, ALPNProtocols] of offers.entries()) {
    const socket = connect({host: '127.0.0.1', port: twin.port('TLS'), ALPNProtocols});
    // No server is there: both end the connection before the handshake.
    await once(socket, 'error');
    await until(() => twin.lines.length > index, {what: 'a line of the log'});
  }
  return twin.lines.map((line) => line.replace(/^.*?: /, ''));
}

pairTest('a condition on the protocols that a client offers tries each of them, a value is the first', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['TLS'], values: {}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.deepEqual(expected, ['modern h2', 'modern http/1.1', 'any http/1.1', 'challenge spdy/3', 'challenge acme-tls/1', 'none -']);
  t.deepEqual(await course(pair.picogate), expected);
});
