/** Health checks of well-known protocols as the steps of a `tcp-check`. */
import type {Expectation, TcpCheckStep} from './health.ts';

function sendText(text: string): TcpCheckStep {
  return {kind: 'send', data: Uint8Array.from(Buffer.from(text, 'latin1'))};
}

function sendBytes(bytes: readonly number[]): TcpCheckStep {
  return {kind: 'send', data: Uint8Array.from(bytes)};
}

function expect(kind: 'string' | 'binary', method: Expectation['method'], value: string, comment: string): TcpCheckStep {
  return {kind: 'expect', expectation: {negated: false, kind, method, value, name: null, comment}};
}

/** RFC 5321: a greeting, an answer to the hello, and goodbye. */
export function smtpSteps(hello: 'HELO' | 'EHLO', domain: string): readonly TcpCheckStep[] {
  return [
    expect('string', 'reg', '^2[0-9][0-9][ -]', 'greeting'),
    sendText(`${hello} ${domain}\r\n`),
    expect('string', 'reg', '^2[0-9][0-9][ -]', 'answer to the hello'),
    sendText('QUIT\r\n'),
    expect('string', 'reg', '2[0-9][0-9] ', 'answer to the goodbye'),
  ];
}

export function redisSteps(): readonly TcpCheckStep[] {
  return [sendText('*1\r\n$4\r\nPING\r\n'), expect('string', 'beg', '+PONG\r\n', 'answer to PING')];
}

/** PostgreSQL, protocol 3.0: a start-up message is answered by a request for authentication, `R`. */
export function postgresSteps(user: string): readonly TcpCheckStep[] {
  const parameters = Buffer.from(`user\0${user}\0database\0${user}\0\0`, 'utf8');
  const message = Buffer.alloc(8 + parameters.length);
  message.writeUInt32BE(message.length, 0);
  message.writeUInt32BE(0x0003_0000, 4);
  parameters.copy(message, 8);
  return [sendBytes([...message]), expect('binary', 'reg', '^52', 'request for authentication')];
}

const mysqlCapabilities = 0x0000_8201; // Long passwords, protocol 4.1, secure connections.
const latin1Collation = 8;

/** MySQL: the greeting of the server (protocol 10, no error); with a user also a log-in without password, and goodbye. */
export function mysqlSteps(user: string | null): readonly TcpCheckStep[] {
  const greeting = expect('binary', 'reg', '^.{6}000a', 'greeting');
  if (user === null) return [greeting];
  const name = Buffer.from(`${user}\0\0`, 'utf8');
  const login = Buffer.alloc(32 + name.length);
  login.writeUInt32LE(mysqlCapabilities, 0);
  login.writeUInt32LE(2 ** 24 - 1, 4);
  login.writeUInt8(latin1Collation, 8);
  name.copy(login, 32);
  const quit = [1, 0, 0, 0, 1];
  const header = [login.length & 0xff, (login.length >> 8) & 0xff, 0, 1];
  // OK, or a request for another way of authentication: either way somebody answers; 255 is an error.
  return [greeting, sendBytes([...header, ...login, ...quit]), expect('binary', 'reg', '^.{8}(?:00|fe)', 'answer to the log-in')];
}

/** RFC 4511: an anonymous bind that succeeds. */
export function ldapSteps(): readonly TcpCheckStep[] {
  return [
    sendBytes([0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00]),
    expect('binary', 'reg', '^30.*0a0100', 'answer to the bind'),
  ];
}

const helloCiphers = [0xc02f, 0xc030, 0xc02b, 0xc02c, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035];

/** RFC 5246: any record of a handshake or an alert in answer to a ClientHello is a server of TLS. */
export function tlsHelloSteps(): readonly TcpCheckStep[] {
  const ciphers = helloCiphers.flatMap((cipher) => [cipher >> 8, cipher & 0xff]);
  const groups = [0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24];
  const points = [0, 11, 0, 2, 1, 0];
  const signatures = [0, 13, 0, 10, 0, 8, 4, 1, 4, 3, 5, 1, 2, 1];
  const extensions = [...groups, ...points, ...signatures];
  const random = Array.from({length: 32}, (_, index) => index);
  const body = [3, 3, ...random, 0, 0, ciphers.length, ...ciphers, 1, 0, 0, extensions.length, ...extensions];
  const hello = [1, 0, 0, body.length, ...body];
  return [sendBytes([0x16, 3, 1, 0, hello.length, ...hello]), expect('binary', 'reg', '^1[56]', 'hello or alert')];
}
