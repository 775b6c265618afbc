/** Clients that measure from outside, over TCP. */
import {once} from 'node:events';
import {connect, type Socket} from 'node:net';

export interface TimedAnswer {
  /** Milliseconds from connect() on. */
  readonly firstByteMs: number;
  readonly answerMs: number;
  readonly text: string;
}

export interface Question {
  readonly text: string;
  readonly isComplete: (answer: string) => boolean;
}

/** One line of the memory server's protocol. */
export function lineQuestion(text: string): Question {
  return {text: `${text}\n`, isComplete: (answer) => answer.endsWith('\n')};
}

/** Length of the first HTTP answer in what was received, or null as long as it is not complete. */
export function httpLength(received: string): number | null {
  const headLength = received.indexOf('\r\n\r\n') + 4;
  const bodyLength = /^content-length: (\d+)/im.exec(received)?.[1];
  if (headLength < 4 || bodyLength === undefined) return null;
  const length = headLength + Number(bodyLength);
  return received.length < length ? null : length;
}

export const httpQuestion: Question = {text: 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n', isComplete: (answer) => httpLength(answer) !== null};

/** Asks on a new connection and closes it. @throws Error when the connection fails, ends or stays silent */
export async function timedAnswer(port: number, question: Question, timeoutMs = 20_000): Promise<TimedAnswer> {
  const startedMs = performance.now();
  return answerOn(connect({port, host: '127.0.0.1', noDelay: true}), question, {startedMs, timeoutMs, what: `port ${port}`});
}

/** Asks on a connection that is being made, and closes it. @throws Error when it fails, ends or stays silent */
export async function answerOn(
  socket: Socket,
  {text: question, isComplete}: Question,
  {startedMs, timeoutMs, what}: {readonly startedMs: number; readonly timeoutMs: number; readonly what: string},
): Promise<TimedAnswer> {
  const {promise, resolve, reject} = Promise.withResolvers<TimedAnswer>();
  const timer = setTimeout(() => reject(new Error(`no answer on ${what} in ${timeoutMs} ms`)), timeoutMs);
  let firstByteMs: number | undefined;
  let text = '';
  socket.on('data', (data) => {
    firstByteMs ??= performance.now() - startedMs;
    text += data.toString('latin1');
    if (isComplete(text)) resolve({firstByteMs, answerMs: performance.now() - startedMs, text});
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`the connection to ${what} ended after "${text}"`)));
  socket.write(question);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

export interface Server {
  readonly host: string;
  readonly port: number;
}

/** Asks one request after the other, on a new connection only when the server ends one, until `signal`. @returns the number of answers */
async function askOn({host, port}: Server, signal: AbortSignal): Promise<number> {
  let answers = 0;
  while (!signal.aborted) {
    const socket = connect({host, port, noDelay: true});
    const stop = (): void => void socket.resetAndDestroy();
    signal.addEventListener('abort', stop, {once: true});
    try {
      await new Promise<void>((resolve, reject) => {
        let received = '';
        socket.once('error', reject);
        socket.once('close', () => resolve());
        socket.on('data', (data) => {
          received += data.toString('latin1');
          if (httpLength(received) === null) return;
          answers++;
          if (/^connection: close/im.test(received)) return;
          received = '';
          socket.write(httpQuestion.text);
        });
        socket.write(httpQuestion.text);
      });
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
  return answers;
}

/** Requests per second of an HTTP server on connections that stay open, one request at a time on each. */
export async function requestRate(server: Server, {connections, durationMs}: {connections: number; durationMs: number}): Promise<number> {
  const startedMs = performance.now();
  const signal = AbortSignal.timeout(durationMs);
  const answers = await Promise.all(Array.from({length: connections}, async () => askOn(server, signal)));
  return (answers.reduce((sum, count) => sum + count, 0) * 1000) / (performance.now() - startedMs);
}

/** Connections per second, each with one request, one after the other. */
export async function connectionRate({host, port}: Server, {durationMs}: {durationMs: number}): Promise<number> {
  const startedMs = performance.now();
  let count = 0;
  while (performance.now() - startedMs < durationMs) {
    const socket = connect({host, port, noDelay: true});
    socket.write(httpQuestion.text);
    await once(socket, 'data');
    socket.resetAndDestroy(); // Without TIME_WAIT: ports would run out, and the table of connections would grow.
    await once(socket, 'close');
    count++;
  }
  return (count * 1000) / (performance.now() - startedMs);
}
