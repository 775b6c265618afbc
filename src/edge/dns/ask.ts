/**
 * Asks a name server. Answers are believed only from the address that was asked, to the port and identifier that were drawn for this question, and
 * with the question as it was sent, letter for letter (RFC 5452). What comes truncated is asked again over TCP (RFC 7766).
 */
import {randomInt} from 'node:crypto';
import {createSocket} from 'node:dgram';
import {connect} from 'node:net';
import type {Clock} from '../../core/clock.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {showAddress} from '../addresses.ts';
import {readFrames} from './frames.ts';
import {flag, headerBytes} from './protocol.ts';
import {word} from './query.ts';

export interface Nameserver {
  /** An address, not a name. */
  readonly host: string;
  readonly port: number;
  /** Null: over UDP, and over TCP what does not fit. */
  readonly protocol: 'tcp' | null;
}

export interface AskOptions {
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Ends the question early. */
  readonly signal: AbortSignal;
}

/**
 * The answer, as it came.
 * @param question a message whose question is its first record; its identifier is replaced
 * @param questionEnd where the question ends in it
 * @throws CodedError ERR_DNS_TIMEOUT, ERR_DNS_UNREACHABLE, ERR_ABANDONED
 */
export async function ask(server: Nameserver, question: Uint8Array, questionEnd: number, options: AskOptions): Promise<Buffer> {
  const sent = Buffer.from(question);
  sent.writeUInt16BE(randomInt(0x10000), 0);
  const matches = (answer: Buffer): boolean => isAnswerTo(answer, sent, questionEnd);
  if (server.protocol === 'tcp') return overTcp(server, sent, matches, options);
  const answer = await overUdp(server, sent, matches, options);
  return (word(answer, 2) & flag.truncated) === 0 ? answer : overTcp(server, sent, matches, options);
}

function isAnswerTo(answer: Buffer, sent: Buffer, questionEnd: number): boolean {
  if (answer.length < headerBytes || word(answer, 0) !== word(sent, 0)) return false;
  if ((word(answer, 2) & (flag.response | 0x7800)) !== flag.response) return false;
  const rest = answer.length === headerBytes && word(answer, 4) === 0 ? 0 : questionEnd;
  // Who cannot read a question may refuse it with a header alone.
  if (rest === 0) return (word(answer, 2) & 0xf) !== 0;
  return word(answer, 4) === 1 && answer.length >= questionEnd && answer.compare(sent, headerBytes, questionEnd, headerBytes, questionEnd) === 0;
}

type Matches = (answer: Buffer) => boolean;

function overUdp(server: Nameserver, sent: Buffer, matches: Matches, options: AskOptions): Promise<Buffer> {
  return withDeadline(server, options, (settle, fail) => {
    const family = server.host.includes(':') ? 6 : 4;
    // A socket for each question: its port is another one each time, and nobody else's datagrams reach it.
    const socket = createSocket({type: family === 6 ? 'udp6' : 'udp4', lookup: (known, _options, callback) => callback(null, known, family)});
    socket.on('error', fail);
    socket.on('message', (answer) => {
      if (matches(answer)) settle(answer);
    });
    // Not as a callback of connect(): that is called when it fails, too.
    const send = (): void => socket.send(sent);
    socket.once('connect', send);
    socket.connect(server.port, server.host);
    return () => {
      socket.off('connect', send);
      socket.close();
    };
  });
}

function overTcp(server: Nameserver, sent: Buffer, matches: Matches, options: AskOptions): Promise<Buffer> {
  return withDeadline(server, options, (settle, fail) => {
    const socket = connect({host: server.host, port: server.port, noDelay: true});
    const frames = readFrames((answer) => {
      if (matches(answer)) settle(answer);
      else fail(new Error('an answer to another question'));
      return false;
    });
    socket.on('error', fail);
    socket.on('data', frames);
    socket.on('end', () => fail(new Error('the connection was closed')));
    const length = Buffer.alloc(2);
    length.writeUInt16BE(sent.length);
    socket.write(Buffer.concat([length, sent]));
    return () => void socket.destroy();
  });
}

/** `start` returns what ends the attempt; that is called once, whatever the end is. */
function withDeadline(
  server: Nameserver,
  {timeoutMs, clock, signal}: AskOptions,
  start: (settle: (answer: Buffer) => void, fail: (error: Error) => void) => () => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let finished = false;
    const finish = (then: () => void): void => {
      if (finished) return;
      finished = true;
      cancel();
      signal.removeEventListener('abort', leave);
      end();
      then();
    };
    const where = `name server "${showAddress(server.host, server.port)}"`;
    const failed = (cause: Error): void =>
      finish(() => reject(new CodedError('ERR_DNS_UNREACHABLE', `Cannot ask ${where}: ${errorMessage(cause)}`, {source: 'server', retryable: true, cause})));
    const leave = (): void => finish(() => reject(new CodedError('ERR_ABANDONED', `Cannot ask ${where}: nobody waits any more`, {source: 'client'})));
    const cancel = clock.after(timeoutMs, () =>
      finish(() => reject(new CodedError('ERR_DNS_TIMEOUT', `Cannot ask ${where}: no answer within ${timeoutMs} ms`, {source: 'server', retryable: true}))),
    );
    signal.addEventListener('abort', leave);
    const end = start((answer) => finish(() => resolve(answer)), failed);
    if (signal.aborted) leave();
  });
}
