import test from 'ava';
import {until} from '../../helpers/until.ts';
import {openTestHttp} from './http-fixture.ts';
import {httpOrigin, scriptedOrigin} from './origin.ts';
import {rawClient, rawExchange} from './raw-client.ts';

const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
const get = 'GET / HTTP/1.1\r\nHost: a\r\n';

/** What two parsers may read differently. None of it may reach the server, whatever comes of the connection. */
const malformed: Readonly<Record<string, string>> = {
  'Content-Length and Transfer-Encoding': `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding and Content-Length': `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  'two Content-Lengths that differ': `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
  'two equal Content-Lengths': `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
  'a list of Content-Lengths': `${post}Content-Length: 5, 5\r\n\r\nhello`,
  'a signed Content-Length': `${post}Content-Length: +5\r\n\r\nhello`,
  'a negative Content-Length': `${post}Content-Length: -5\r\n\r\nhello`,
  'a hexadecimal Content-Length': `${post}Content-Length: 0x5\r\n\r\nhello`,
  'an empty Content-Length': `${post}Content-Length:\r\n\r\nhello`,
  'a Content-Length with a space in it': `${post}Content-Length: 5 0\r\n\r\nhello`,
  'a huge Content-Length': `${post}Content-Length: 99999999999999999999\r\n\r\nhello`,
  'two Transfer-Encodings': `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding twice chunked': `${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding identity': `${post}Transfer-Encoding: identity\r\n\r\nhello`,
  'Transfer-Encoding xchunked': `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  'chunked that is not last': `${post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
  'a quoted chunked': `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`,
  'a vertical tab before chunked': `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding in HTTP/1.0': 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'lines that end in LF': 'GET / HTTP/1.1\nHost: a\n\n',
  'one line that ends in LF': `GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n`,
  'an empty line of LF': `${get.slice(0, -2)}\r\n\n`,
  'CR alone in a line': `${get}X: a\rb\r\n\r\n`,
  'CR CR LF': `${get}X: a\r\r\n\r\n`,
  'a folded field': `${get}X: a\r\n b\r\n\r\n`,
  'a field folded with a tab': `${get}Transfer-Encoding:\r\n\tchunked\r\n\r\n`,
  'a space before the first field': 'GET / HTTP/1.1\r\n Host: a\r\n\r\n',
  'a space before the colon': `${post}Content-Length : 5\r\n\r\nhello`,
  'a tab before the colon': `${post}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`,
  'a field without a colon': `${get}nothing\r\n\r\n`,
  'a field without a name': `${get}: value\r\n\r\n`,
  'a name with a bracket': `${get}X(Y): value\r\n\r\n`,
  'NUL in a value': `${get}X: a\0b\r\n\r\n`,
  'a control character in a value': `${get}X: a\x01b\r\n\r\n`,
  'DEL in a value': `${get}X: a\x7fb\r\n\r\n`,
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
  'two Hosts': `${get}Host: b\r\n\r\n`,
  'two equal Hosts': `${get}Host: a\r\n\r\n`,
  'a Host with a space': 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
  'a Host with a path': 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
  'a Host with a user': 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n',
  'a list of Hosts': 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n',
  'a Host with a port that is none': 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n',
  'an authority that is not the Host': 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'an authority with a user': 'GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n',
  'no target': 'GET HTTP/1.1\r\nHost: a\r\n\r\n',
  'a target without a slash': 'GET a HTTP/1.1\r\nHost: a\r\n\r\n',
  'two spaces in the request line': 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
  'a tab in the request line': 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'a space after the version': 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n',
  'a space in the target': 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n',
  'HTTP/0.9': 'GET /\r\n\r\n',
  'HTTP/1.2': 'GET / HTTP/1.2\r\nHost: a\r\n\r\n',
  'HTTP/2.0 without its preface': 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
  'http in lower case': 'GET / http/1.1\r\nHost: a\r\n\r\n',
  'a method with a bracket': 'G[T / HTTP/1.1\r\nHost: a\r\n\r\n',
  'no method': ' / HTTP/1.1\r\nHost: a\r\n\r\n',
  'CONNECT with a path': 'CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n',
  'asterisk of another method': 'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
  'a TLS ClientHello': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n',
  'an SSH greeting': 'SSH-2.0-OpenSSH_9.2\r\n\r\n',
};

for (const [name, bytes] of Object.entries(malformed)) {
  test(`${name}: refused, and the server sees nothing`, async (t) => {
    let requests = 0;
    await using origin = await httpOrigin((_request, response) => {
      requests++;
      response.end('reached');
    });
    await using http = await openTestHttp({servers: [origin.port]});
    const answer = await rawExchange(http.port, bytes);
    t.regex(answer, /^HTTP\/1\.1 (400|501|505) /);
    t.is(requests, 0);
    t.is(origin.connections(), 0);
    t.is(http.records.length, 1);
    t.like(http.records[0], {termination: 'PR--', request: null});
    t.truthy(http.records[0]?.reason);
  });
}

/** The head is fine, so the server may see it; the broken body must not look complete to it. */
const malformedBodies: Readonly<Record<string, string>> = {
  'a chunk size that is none': 'zz\r\nhello\r\n0\r\n\r\n',
  'a chunk size with a prefix': '0x5\r\nhello\r\n0\r\n\r\n',
  'a chunk size with a sign': '+5\r\nhello\r\n0\r\n\r\n',
  'a chunk size with spaces before it': ' 5\r\nhello\r\n0\r\n\r\n',
  'a chunk size with a space after it': '5 \r\nhello\r\n0\r\n\r\n',
  'no chunk size': '\r\nhello\r\n0\r\n\r\n',
  'a huge chunk size': 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n',
  'a chunk size that ends in LF': '5\nhello\r\n0\r\n\r\n',
  'a chunk that ends in LF': '5\r\nhello\n0\r\n\r\n',
  'a chunk that is longer than its size': '4\r\nhello\r\n0\r\n\r\n',
  'an extension without a name': '5;\r\nhello\r\n0\r\n\r\n',
  'an extension with LF in it': '5;a=\nb\r\nhello\r\n0\r\n\r\n',
  'an extension with CR in it': '5;a\rX\r\nhello\r\n0\r\n\r\n',
  'an extension with a control character': '5;a=\x01\r\nhello\r\n0\r\n\r\n',
  'an extension without an end': `5;${'a'.repeat(500)}\r\nhello\r\n0\r\n\r\n`,
  'a folded trailer': '5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n',
  'a trailer that ends in LF': '5\r\nhello\r\n0\r\nX: a\n\r\n',
  'a trailer without a colon': '5\r\nhello\r\n0\r\nX\r\n\r\n',
};

for (const [name, body] of Object.entries(malformedBodies)) {
  test(`${name}: the request is broken off, and what follows is not taken for another one`, async (t) => {
    let complete = 0;
    const seen: string[] = [];
    await using origin = await httpOrigin((request, response) => {
      seen.push(request.url ?? '');
      request.resume().on('end', () => {
        complete++;
        response.end('complete');
      });
    });
    await using http = await openTestHttp({servers: [origin.port]});
    const answer = await rawExchange(http.port, `${post}Transfer-Encoding: chunked\r\n\r\n${body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`);
    t.regex(answer, /^HTTP\/1\.1 400 /);
    await until(() => origin.open() === 0);
    t.is(complete, 0);
    t.false(seen.includes('/smuggled'));
  });
}

for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'QUERY', 'POST']) {
  test(`a chunked ${method} stays one request`, async (t) => {
    const seen: string[] = [];
    await using origin = await httpOrigin((request, response) => {
      let body = '';
      request.on('data', (data: Buffer) => {
        body += data.toString();
      });
      request.on('end', () => {
        seen.push(`${request.method ?? ''} ${request.headers['transfer-encoding'] ?? 'none'} ${body}`);
        response.end();
      });
    });
    await using http = await openTestHttp({servers: [origin.port]});
    using client = await rawClient(
      http.port,
      `${method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\nGET /smuggled HTTP/1.1\r\n\r\nx\r\n0\r\n\r\n`,
    );
    await client.received('\r\n\r\n');
    t.regex(client.text(), /^HTTP\/1\.1 200 /);
    t.deepEqual(seen, [`${method} chunked GET /smuggled HTTP/1.1\r\n\r\nx`]);
  });
}

test('a head that is too long is refused while it comes', async (t) => {
  await using http = await openTestHttp({servers: []});
  t.regex(await rawExchange(http.port, `GET /${'a'.repeat(20_000)}`), /^HTTP\/1\.1 414 /);
  t.regex(await rawExchange(http.port, `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`), /^HTTP\/1\.1 414 /);
  t.regex(await rawExchange(http.port, `${get}X: ${'a'.repeat(20_000)}`), /^HTTP\/1\.1 431 /);
  t.regex(await rawExchange(http.port, `${get}${'X: a\r\n'.repeat(102)}\r\n`), /^HTTP\/1\.1 431 /);
});

test('an answer that can be read in two ways is not passed on', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
    'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n',
    'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
    'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX : a\r\n\r\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    'hello\r\n\r\n',
  ];
  for (const answer of answers) {
    await using origin = await scriptedOrigin(answer);
    await using http = await openTestHttp({servers: [origin.port]});
    using client = await rawClient(http.port, `${get}\r\n`);
    await client.received('</html>');
    t.regex(client.text(), /^HTTP\/1\.1 502 /, answer);
  }
});

test('what a server sends after its answer is nobody else’s answer', async (t) => {
  await using origin = await scriptedOrigin('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, `${get}\r\n${get}\r\n`);
  await until(() => client.text().split('HTTP/1.1 200').length === 3);
  t.false(client.text().includes('evil'));
});
