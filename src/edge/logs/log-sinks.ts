/** Where log lines go. A sink takes a line or drops it and counts; it never waits, and what it keeps is bounded. */
import {createSocket} from 'node:dgram';
import {lookup} from 'node:dns/promises';
import {write} from 'node:fs';
import type {LogTarget} from '../../config/proxy-value.ts';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import {close, socket, socketType, trySendTo} from '../../core/libc.ts';

export interface LogSink extends AsyncDisposable {
  /** @param line with its line feed; the sink owns it */
  write(line: Buffer): void;
  /** How many lines were given up so far. */
  readonly dropped: number;
}

/** Lines that may wait for the kernel, or for who reads our standard output. */
const maxWaitingLines = 4096;

/** @throws CodedError ERR_LOG_TARGET for a host that does not resolve, or a path that is too long */
export async function openLogSink(to: LogTarget['to']): Promise<LogSink> {
  switch (to.kind) {
    case 'udp':
      return openUdpSink(to.host, to.port);
    case 'unix':
      return openUnixSink(to.path);
    case 'stdout':
      return openDescriptorSink(1);
    case 'stderr':
      return openDescriptorSink(2);
    case 'fd':
      return openDescriptorSink(to.fd);
    default:
      return to satisfies never;
  }
}

async function openUdpSink(host: string, port: number): Promise<LogSink> {
  const resolved = await lookup(host).catch((cause: unknown) => {
    throw new CodedError('ERR_LOG_TARGET', `Cannot log to "${host}": ${errorMessage(cause)}`, {source: 'host', cause});
  });
  const udp = createSocket(resolved.family === 6 ? 'udp6' : 'udp4');
  udp.unref();
  let waiting = 0;
  let dropped = 0;
  const idle = Promise.withResolvers<void>();
  let closing = false;
  udp.on('error', () => {
    // A line that could not be sent is counted where it was sent; there is nobody to tell.
  });
  return {
    write(line) {
      if (closing || waiting >= maxWaitingLines) {
        dropped++;
        return;
      }
      waiting++;
      udp.send(line, port, resolved.address, (error) => {
        waiting--;
        if (error !== null) dropped++;
        if (closing && waiting === 0) idle.resolve();
      });
    },
    get dropped() {
      return dropped;
    },
    async [Symbol.asyncDispose]() {
      if (closing) return;
      closing = true;
      // close() would forget what was sent in this turn.
      if (waiting > 0) await idle.promise;
      await new Promise<void>((resolve) => udp.close(resolve));
    },
  };
}

const unixFamily = 1;
const dontWait = 0x40;
const noSignal = 0x4000;

/** `/dev/log` is a datagram socket (unix(7)), which Node's modules do not have. A full one drops the line, as a full network does. */
function openUnixSink(path: string): LogSink {
  const name = Buffer.from(path);
  if (name.length > 107) throw new CodedError('ERR_LOG_TARGET', `Cannot log to "${path}": the path of a socket has 107 bytes at most`, {source: 'host'});
  const address = Buffer.alloc(3 + name.length);
  address.writeUInt16LE(unixFamily, 0);
  name.copy(address, 2);
  const fd = socket(unixFamily, socketType.datagram | socketType.closeOnExec | socketType.nonBlocking, 0);
  let open = true;
  let dropped = 0;
  return {
    write(line) {
      if (!open || trySendTo(fd, line, dontWait | noSignal, address) < 0) dropped++;
    },
    get dropped() {
      return dropped;
    },
    async [Symbol.asyncDispose]() {
      if (open) close(fd);
      open = false;
    },
  };
}

/** One write at a time on a thread of its own, so that who reads slowly does not stop us. */
export function openDescriptorSink(fd: number): LogSink {
  let waiting: Buffer[] = [];
  let idle = Promise.withResolvers<void>();
  let writing = false;
  let dropped = 0;
  const send = (bytes: Buffer, lines: number): void => {
    write(fd, bytes, (error, written) => {
      if (errorCode(error) === 'EAGAIN') {
        setTimeout(() => send(bytes, lines), 10).unref();
        return;
      }
      if (error !== null) dropped += lines;
      else if (written < bytes.length) {
        send(bytes.subarray(written), lines);
        return;
      }
      next();
    });
  };
  const next = (): void => {
    const lines = waiting;
    waiting = [];
    writing = lines.length > 0;
    if (writing) send(Buffer.concat(lines), lines.length);
    else idle.resolve();
  };
  return {
    write(line) {
      if (waiting.length >= maxWaitingLines) {
        dropped++;
        return;
      }
      waiting.push(line);
      if (writing) return;
      idle = Promise.withResolvers();
      next();
    },
    get dropped() {
      return dropped;
    },
    async [Symbol.asyncDispose]() {
      if (writing) await idle.promise;
    },
  };
}
