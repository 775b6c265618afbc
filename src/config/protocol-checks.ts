/** Health checks of well-known protocols as the steps of a `tcp-check`: what they send, and what they tell of the answers, as HAProxy's do. */
import type {ConnectStep, Expectation, OutcomeReport, TcpCheckStep} from './health.ts';
import type {Format, SampleCall, SampleExpression} from './sample.ts';

function sendText(text: string): TcpCheckStep {
  return {kind: 'send', data: Uint8Array.from(Buffer.from(text, 'latin1'))};
}

function sendBytes(bytes: readonly number[]): TcpCheckStep {
  return {kind: 'send', data: Uint8Array.from(bytes)};
}

type ExpectOptions = Pick<Expectation, 'method' | 'value' | 'minReceivedBytes'> & Partial<Pick<Expectation, 'kind' | 'negated'>> & OutcomeReport;

function expect({kind = 'string', negated = false, method, value, minReceivedBytes, ...report}: ExpectOptions): TcpCheckStep {
  const least = minReceivedBytes === undefined ? {} : {minReceivedBytes};
  return {kind: 'expect', expectation: {negated, kind, method, value, name: null, ...least, report, comment: null}};
}

/** As the line of the server says, and ended in order: the server would log a reset. */
const connect: ConnectStep = {
  kind: 'connect',
  address: null,
  port: null,
  portExpression: null,
  usesDefaults: true,
  tls: false,
  sni: null,
  alpn: null,
  sendProxy: false,
  lingers: true,
};

/** Of what has come: from `offset`, `length` bytes, or all of them (0). */
function received(offset: number, length: number, ...converters: readonly SampleCall[]): SampleExpression {
  return {text: `res.payload(${offset},${length})`, fetch: {name: 'res.payload', args: [String(offset), String(length)]}, converters};
}

function textOf(expression: SampleExpression): Format {
  return [{kind: 'sample', expression, options: {quote: false, escape: false, hex: false, dashIfMissing: false}}];
}

function words(text: string): Format {
  return [{kind: 'text', text}];
}

const firstLine: SampleCall = {name: 'cut_crlf', args: []};
const withoutBlanks: SampleCall = {name: 'ltrim', args: [' ']};

/** RFC 5321: a greeting, an answer to the hello, and goodbye. */
export function smtpSteps(hello: 'HELO' | 'EHLO', domain: string): readonly TcpCheckStep[] {
  const reply = textOf(received(4, 0, withoutBlanks, firstLine));
  const status = {failedStatus: 'L7STS', onError: reply, code: received(0, 3)} as const;
  return [
    connect,
    expect({method: 'reg', value: '^[0-9]{3}[ \r]', minReceivedBytes: 4, failedStatus: 'L7RSP', onError: textOf(received(0, 0, firstLine))}),
    expect({method: 'reg', value: '^2[0-9]{2}[ \r]', minReceivedBytes: 4, ...status}),
    sendText(`${hello} ${domain}\r\n`),
    expect({method: 'reg', value: '^(2[0-9]{2}-[^\r]*\r\n)*2[0-9]{2}[ \r]', ...status, onSuccess: reply}),
    sendText('QUIT\r\n'),
    expect({method: 'reg', value: '^2[0-9]{2}[- \r]', minReceivedBytes: 4, ...status, onSuccess: reply}),
  ];
}

export function redisSteps(): readonly TcpCheckStep[] {
  return [
    sendText('*1\r\n$4\r\nPING\r\n'),
    expect({
      method: 'sub',
      value: '+PONG\r\n',
      failedStatus: 'L7STS',
      onError: textOf(received(0, 0, firstLine)),
      onSuccess: words('Redis server is ok'),
    }),
  ];
}

/** PostgreSQL, protocol 3.0: a start-up message is answered by a request for authentication, `R`, or an error, `E`. */
export function postgresSteps(user: string): readonly TcpCheckStep[] {
  const parameters = Buffer.from(`user\0${user}\0\0`, 'utf8');
  const message = Buffer.alloc(8 + parameters.length);
  message.writeUInt32BE(message.length, 0);
  message.writeUInt32BE(0x0003_0000, 4);
  parameters.copy(message, 8);
  return [
    connect,
    sendBytes([...message]),
    expect({negated: true, method: 'reg', value: '^E', minReceivedBytes: 5, failedStatus: 'L7RSP', onError: textOf(received(6, 0))}),
    expect({
      kind: 'binary',
      method: 'reg',
      value: '^52000000(08|0A|0C)000000(00|02|03|04|05|06)',
      minReceivedBytes: 9,
      failedStatus: 'L7STS',
      onSuccess: words('PostgreSQL server is ok'),
      onError: words('PostgreSQL unknown error'),
    }),
  ];
}

const utf8Collation = 0x21;
const mysqlQuit = [1, 0, 0, 0, 1];

/** MySQL: the greeting of the server; with a user also a log-in without password, and goodbye. */
export function mysqlSteps(user: {readonly name: string; readonly isOld: boolean} | null): readonly TcpCheckStep[] {
  const greeting = {kind: 'mysql-packet', index: 0, isLast: user === null} as const;
  if (user === null) return [connect, greeting];
  const name = [...Buffer.from(`${user.name}\0\0`, 'utf8')];
  // Capabilities and the longest packet, and since 4.1 a collation and room.
  const login = user.isOld ? [0, 0x80, 0, 0, 1, ...name] : [0, 0x82, 0, 0, 0, 0x80, 0, 1, utf8Collation, ...Array.from({length: 23}, () => 0), ...name];
  const header = [login.length & 0xff, (login.length >> 8) & 0xff, 0, 1];
  return [connect, sendBytes([...header, ...login, ...mysqlQuit]), greeting, {kind: 'mysql-packet', index: 1, isLast: true}];
}

/** RFC 4511: an anonymous bind that succeeds. */
export function ldapSteps(): readonly TcpCheckStep[] {
  return [
    sendBytes([0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00]),
    expect({kind: 'binary', method: 'reg', value: '^30', minReceivedBytes: 14, onError: words('Not LDAPv3 protocol')}),
    {kind: 'ldap-bind'},
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
  return [
    sendBytes([0x16, 3, 1, 0, hello.length, ...hello]),
    expect({kind: 'binary', method: 'reg', value: '^1[56]', minReceivedBytes: 5, passedStatus: 'L6OK', failedStatus: 'L6RSP', lateStatus: 'L6TOUT'}),
  ];
}
