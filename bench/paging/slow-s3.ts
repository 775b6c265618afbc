/**
 * An HTTP proxy that makes a near S3 server a far one: the first byte of every answer comes later, and no stream, up or down, is faster than a
 * limit. Requests are passed on as they are, with their `Host`, which is part of what S3 signs; what is only read comes from copies.
 */
import {once} from 'node:events';
import {closeSync, openSync, readSync} from 'node:fs';
import {Agent, createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import type {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {setTimeout as sleep} from 'node:timers/promises';
import {setSocketOption} from '../../src/core/libc.ts';
import {type ByteRange, ObjectCopies, type ObjectCopy, parseRange} from './object-copies.ts';
import {throttle} from './throttle.ts';

export interface SlowLine {
  /** The server behind it, http://HOST:PORT. */
  readonly upstream: string;
  readonly addedFirstByteMs: number;
  readonly streamBytesPerSecond: number;
}

/** Of a network, not of a loopback device. */
const segmentBytes = 1448;
/** socket(7), tcp(7); the numbers are those of the kernel's headers. */
const [solSocket, soMaxPacingRate] = [1, 47];
const [ipprotoTcp, tcpMaxSegment] = [6, 2];

/** Sums since the start, readable in other threads: 64-bit floats at these places. `passedOn`: requests that no copy could answer. */
export const counterPlaces = {requests: 0, bytesDown: 1, bytesUp: 2, passedOn: 3} as const;
export const counterBytes = Object.keys(counterPlaces).length * Float64Array.BYTES_PER_ELEMENT;
type Count = (place: keyof typeof counterPlaces, amount: number) => void;

export interface SlowS3 extends AsyncDisposable {
  readonly port: number;
}

export interface SlowS3Options {
  readonly line: SlowLine;
  /** Of `counterBytes`. */
  readonly counters: SharedArrayBuffer;
  /** For copies of objects; exists, and is removed by the caller. */
  readonly copiesDir: string;
}

interface Proxy {
  readonly line: SlowLine;
  readonly upstream: URL;
  readonly agent: Agent;
  readonly copies: ObjectCopies;
  readonly count: Count;
}

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Without the query. */
  readonly path: string;
  /** An object as such is meant, not a part, a list or a property of it. */
  readonly plain: boolean;
}

/** Listens on 127.0.0.1. */
export async function serveSlowS3({line, counters, copiesDir}: SlowS3Options): Promise<SlowS3> {
  const sums = new Float64Array(counters);
  const count: Count = (place, amount) => {
    sums[counterPlaces[place]] = (sums[counterPlaces[place]] ?? 0) + amount;
  };
  const upstream = new URL(line.upstream);
  const agent = new Agent({keepAlive: true});
  const proxy: Proxy = {line, upstream, agent, count, copies: new ObjectCopies({directory: copiesDir, upstream, agent})};
  const server = createServer((incoming, outgoing) => {
    count('requests', 1);
    const {pathname, searchParams} = new URL(incoming.url ?? '/', upstream);
    // The SDK names its operation in the query, and a signature may be there.
    const plain = [...searchParams.keys()].every((name) => name === 'x-id' || name.toLowerCase().startsWith('x-amz-'));
    answer(proxy, {incoming, outgoing, path: pathname, plain}).catch(() => {
      // The client sees what its server did: no answer, or half of one.
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(502).end();
    });
  });
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  paceStreams(server, line.streamBytesPerSecond);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      agent.destroy();
      server.closeAllConnections();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}

/**
 * The kernel sends no faster than this (SO_MAX_PACING_RATE in socket(7)): timers of ours would take the processor from those who are measured. It does not slow
 * the first ten segments of a connection (net/ipv4/tcp_output.c, 6.18), which on a loopback device are of 64 KiB each, unless they are smaller.
 */
function paceStreams(server: Server, bytesPerSecond: number): void {
  const handle: unknown = '_handle' in server ? server._handle : null;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle) || typeof handle.fd !== 'number') throw new Error('the server has no descriptor');
  // Accepted sockets have what the listening one has.
  setSocketOption(handle.fd, solSocket, soMaxPacingRate, Math.min(bytesPerSecond, 2 ** 31 - 1));
  setSocketOption(handle.fd, ipprotoTcp, tcpMaxSegment, segmentBytes);
}

async function answer(proxy: Proxy, exchange: Exchange): Promise<void> {
  const {incoming, path, plain} = exchange;
  const reading = incoming.method === 'GET' || incoming.method === 'HEAD';
  const conditional = Object.keys(incoming.headers).some((name) => name.startsWith('if-'));
  const copy = reading && plain && !conditional ? proxy.copies.get(path) : undefined;
  if (copy !== undefined) return answerFromCopy(proxy, exchange, copy);
  proxy.count('passedOn', 1);
  return passOn(proxy, exchange);
}

async function answerFromCopy({line, count}: Proxy, {incoming, outgoing}: Exchange, copy: ObjectCopy): Promise<void> {
  const {sizeBytes, headers} = copy;
  incoming.resume();
  await sleep(line.addedFirstByteMs);
  const range = parseRange(incoming.headers.range, sizeBytes);
  if (range === 'unsatisfiable') {
    outgoing.writeHead(416, {'content-range': `bytes */${sizeBytes}`, 'content-type': 'application/xml'}).end('<Error><Code>InvalidRange</Code></Error>');
    return;
  }
  const {start, end}: ByteRange = range ?? {start: 0, end: sizeBytes};
  const partial = range !== null && {'content-range': `bytes ${start}-${end - 1}/${sizeBytes}`};
  outgoing.writeHead(range === null ? 200 : 206, {...headers, 'accept-ranges': 'bytes', 'content-length': end - start, ...partial});
  if (incoming.method === 'HEAD' || end === start) outgoing.end();
  else await sendCopy({count}, copy, {start, end}, outgoing);
}

/** What is read of a copy at a time; the other streams have a turn in between. */
const pieceBytes = 128 * 1024;
/** Of pieces that are sent: new memory for each would take the processor from those who are measured. */
const spare: Buffer[] = [];

async function sendCopy({count}: Pick<Proxy, 'count'>, {file}: ObjectCopy, {start, end}: ByteRange, outgoing: ServerResponse): Promise<void> {
  const piece = spare.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
  const descriptor = openSync(file, 'r');
  try {
    for (let at = start; at < end; ) {
      const length = readSync(descriptor, piece, 0, Math.min(pieceBytes, end - at), at);
      if (length === 0) throw new Error(`the copy ends at byte ${at}`);
      count('bytesDown', length);
      await write(outgoing, piece.subarray(0, length));
      at += length;
    }
    outgoing.end();
  } finally {
    closeSync(descriptor);
    spare.push(piece);
  }
}

/** Resolves when the kernel has it. */
async function write(outgoing: ServerResponse, data: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    outgoing.write(data, (error) => (error ? reject(error) : resolve()));
  });
}

async function send(line: SlowLine, count: Count, body: Readable, outgoing: ServerResponse): Promise<void> {
  outgoing.flushHeaders();
  await pipeline(
    body,
    throttle(line.streamBytesPerSecond, (length) => count('bytesDown', length)),
    outgoing,
  );
}

/** For the connection between two neighbours only (RFC 9110, 7.6.1); `Expect` is answered here. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade', 'expect']);

/** Name, value, name, value, as `rawHeaders`. */
function endToEnd(raw: readonly string[]): string[] {
  return raw.filter((_, at) => !hopByHop.has((raw[at - (at % 2)] ?? '').toLowerCase()));
}

async function passOn(proxy: Proxy, {incoming, outgoing, path, plain}: Exchange): Promise<void> {
  const {line, upstream, agent, count, copies} = proxy;
  const {method, url, rawHeaders} = incoming;
  const asked = httpRequest({host: upstream.hostname, port: upstream.port, agent, method, path: url, headers: endToEnd(rawHeaders)});
  const gone = (): void => void asked.destroy();
  outgoing.once('close', gone);
  const sent = pipeline(
    incoming,
    throttle(line.streamBytesPerSecond, (length) => count('bytesUp', length)),
    asked,
  );
  // `once` fails with the request; a body that cannot be sent shows there, or as an early answer, which counts.
  const [[found]] = await Promise.all([once(asked, 'response') as Promise<[IncomingMessage]>, sent.catch(() => undefined)]);
  // Before the writer is told that it is done: whoever reads after that shall find the copy. The end of an upload in parts is a POST.
  if ((method === 'PUT' && plain) || (method === 'POST' && url?.includes('uploadId=') === true)) await copies.renew(path, incoming.headers.authorization ?? '');
  if (method === 'DELETE' && plain) await copies.forget(path);
  await sleep(line.addedFirstByteMs);
  outgoing.writeHead(found.statusCode ?? 502, found.statusMessage, endToEnd(found.rawHeaders));
  await send(line, count, found, outgoing);
  outgoing.off('close', gone);
}
