/** What we take for a request, Node's llhttp must take for the same one; broken input is refused, never more. */
import {once} from 'node:events';
import {createServer} from 'node:http';
import {type AddressInfo, connect} from 'node:net';
import test from 'ava';
import {BodyDecoder} from '../../../src/edge/http/h1-body.ts';
import {requestFraming, responseFraming} from '../../../src/edge/http/h1-framing.ts';
import {findHeadEnd, HeadError, parseRequestHead, parseResponseHead} from '../../../src/edge/http/h1-head.ts';
import type {Header, RequestHead} from '../../../src/edge/http/message.ts';
import {checkTarget} from '../../../src/edge/http/target.ts';
import {fc} from '../../helpers/properties.ts';

interface Read {
  readonly head: RequestHead;
  readonly body: string;
  readonly trailers: readonly Header[] | null;
  readonly end: number;
}

/** Null: more bytes are needed. @throws HeadError */
function readRequest(bytes: Buffer, cuts: readonly number[] = []): Read | null {
  const end = findHeadEnd(bytes, 0);
  if (end === -1) return null;
  const head = parseRequestHead(bytes, 0, end);
  checkTarget(head);
  const body: Buffer[] = [];
  let trailers: readonly Header[] | null = null;
  const decoder = new BodyDecoder(requestFraming(head), {
    bodyData: (chunk) => void body.push(Buffer.from(chunk)),
    bodyEnd: (last) => {
      trailers = last;
    },
  });
  const bounds = [...new Set(cuts.map((cut) => end + (cut % (bytes.length - end + 1))))].sort((a, b) => a - b);
  let at = end;
  for (const bound of [...bounds, bytes.length]) if (bound > at && !decoder.isDone) at = decoder.decode(bytes.subarray(0, bound), at);
  return decoder.isDone ? {head, body: Buffer.concat(body).toString('latin1'), trailers, end: at} : null;
}

const seeds = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /p?q=1 HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 5\r\n\r\nhello',
  'PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\nX-A: b\r\nX-A: c\r\n\r\n',
  'GET http://a/b HTTP/1.1\r\nHost: a\r\nCookie: x=1; y="2"\r\nAccept: */*\r\n\r\n',
  'DELETE /d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
];
const pieces = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  ':',
  ';',
  '0',
  '5',
  'a',
  '\0',
  '\x7f',
  '\xff',
  ',',
  'chunked',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Host: b\r\n',
  'HTTP/1.1',
  '"',
  '=',
];

interface Change {
  readonly at: number;
  readonly drop: number;
  readonly insert: string;
}

const changes = fc.array(fc.record({at: fc.nat(300), drop: fc.nat(4), insert: fc.constantFrom('', ...pieces)}), {minLength: 0, maxLength: 3});

function mutate(seed: string, list: readonly Change[]): string {
  return list.reduce((text, {at, drop, insert}) => {
    const where = at % (text.length + 1);
    return text.slice(0, where) + insert + text.slice(where + drop);
  }, seed);
}

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

test('what is taken for a request is one for llhttp too, with the same body', async (t) => {
  const seen: Seen[] = [];
  const server = createServer({requireHostHeader: false, insecureHTTPParser: false}, (request, response) => {
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (data: string) => {
      body += data;
    });
    request.on('end', () => {
      seen.push({method: request.method ?? '', url: request.url ?? '', body});
      response.end();
    });
  });
  // Else the end of the stream, which may come with the request, ends the request before its body is read.
  Object.assign(server, {httpAllowHalfOpen: true});
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo;
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...seeds), changes, async (seed, list) => {
      const bytes = Buffer.from(mutate(seed, list), 'latin1');
      let mine: Read | null;
      try {
        mine = readRequest(bytes);
      } catch (error) {
        if (!(error instanceof HeadError)) throw error;
        return;
      }
      if (mine === null || mine.head.method === 'CONNECT') return;
      // llhttp knows the methods of a list.
      if (!/^(GET|POST|PUT|OPTIONS|DELETE)$/.test(mine.head.method)) return;
      // It takes trailers that frame a message for an error; we drop them.
      if (/^(?:content-length|transfer-encoding):/im.test(bytes.toString('latin1').split('\r\n\r\n').slice(1).join('\n'))) return;
      // Nor does it take some white space that RFC 9110 (section 5.6.3) allows: a tab after a framing value, any in the line of a chunk's size.
      if (/^(?:(?:content-length|transfer-encoding):.*\t[\t ]*|[\da-f]+(?:;.*)?[\t ].*)\r?$/im.test(bytes.toString('latin1'))) return;
      accepted++;
      seen.length = 0;
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.end(bytes.subarray(0, mine.end));
      socket.resume();
      await once(socket, 'close');
      t.deepEqual(seen[0], {method: mine.head.method, url: mine.head.uri, body: mine.body}, JSON.stringify(bytes.toString('latin1')));
    }),
    {numRuns: 1500},
  );
  t.true(accepted > 100);
});

test('however a body is cut into pieces, it is the same', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), changes, fc.array(fc.nat(100), {maxLength: 6}), (seed, list, cuts) => {
      const bytes = Buffer.from(mutate(seed, list), 'latin1');
      const attempt = (at: readonly number[]): string => {
        try {
          return JSON.stringify(readRequest(bytes, at));
        } catch (error) {
          if (!(error instanceof HeadError)) throw error;
          return 'refused';
        }
      };
      t.is(attempt(cuts), attempt([]));
    }),
    {numRuns: 5000},
  );
});

test('no bytes of a server do more than be refused', (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
    'HTTP/1.0 304 Not Modified\r\n\r\n',
    'HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n',
  ];
  fc.assert(
    fc.property(fc.constantFrom(...answers), changes, (seed, list) => {
      const bytes = Buffer.from(mutate(seed, list), 'latin1');
      try {
        const end = findHeadEnd(bytes, 0);
        if (end === -1) return;
        const head = parseResponseHead(bytes, 0, end);
        t.true(head.status >= 100 && head.status <= 999);
        responseFraming('GET', head);
      } catch (error) {
        t.true(error instanceof HeadError);
      }
    }),
    {numRuns: 3000},
  );
});

test('trailers that frame or route are dropped', (t) => {
  const read = readRequest(
    Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: b\r\n\r\nrest'),
  );
  t.deepEqual(read?.trailers, [['x-sum', '1']]);
});

test('a body without end of extensions and trailers is refused, not kept', (t) => {
  const start = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.throws(() => readRequest(Buffer.from(`${start}${`1;${'a'.repeat(200)}\r\nx\r\n`.repeat(200)}`)), {instanceOf: HeadError});
  t.throws(() => readRequest(Buffer.from(`${start}0\r\n${'X: y\r\n'.repeat(2000)}`)), {instanceOf: HeadError});
});
