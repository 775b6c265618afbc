/**
 * An HTTP proxy that makes a near object store a far one: the first byte of every answer comes later, and no stream, up or down, is faster
 * than a limit. Requests are passed on as they are, with their `Host`, which is part of what S3 signs.
 */
import {once} from 'node:events';
import {Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse} from 'node:http';
import {Transform} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {setTimeout as sleep} from 'node:timers/promises';

export interface SlowLine {
  /** The server behind it, http://HOST:PORT. */
  readonly upstream: string;
  readonly addedFirstByteMs: number;
  readonly streamBytesPerSecond: number;
}

/** Sums since the start, readable in other threads: 64-bit floats at these places. */
export const counterPlaces = {requests: 0, bytesDown: 1, bytesUp: 2, serverMs: 3} as const;
export const counterBytes = Object.keys(counterPlaces).length * Float64Array.BYTES_PER_ELEMENT;

export interface SlowS3 extends AsyncDisposable {
  readonly port: number;
}

/** For the connection between two neighbours only (RFC 9110, 7.6.1); `Expect` is answered here. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade', 'expect']);

/** Listens on 127.0.0.1. @param counters of `counterBytes` */
export async function serveSlowS3(line: SlowLine, counters: SharedArrayBuffer): Promise<SlowS3> {
  const sums = new Float64Array(counters);
  const count = (place: keyof typeof counterPlaces, amount: number): void => {
    sums[counterPlaces[place]] = (sums[counterPlaces[place]] ?? 0) + amount;
  };
  const agent = new Agent({keepAlive: true});
  const server = createServer((incoming, outgoing) => {
    count('requests', 1);
    forward({line, agent, count, incoming, outgoing}).catch(() => {
      // The client sees what its server did: no answer, or half of one.
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(502).end();
    });
  });
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
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

interface Exchange {
  readonly line: SlowLine;
  readonly agent: Agent;
  readonly count: (place: keyof typeof counterPlaces, amount: number) => void;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

async function forward({line, agent, count, incoming, outgoing}: Exchange): Promise<void> {
  const startedMs = performance.now();
  const {hostname, port} = new URL(line.upstream);
  const upstream = httpRequest({host: hostname, port, agent, method: incoming.method, path: incoming.url, headers: endToEnd(incoming.rawHeaders)});
  const gone = (): void => void upstream.destroy();
  outgoing.once('close', gone);
  const sent = pipeline(
    incoming,
    throttle(line.streamBytesPerSecond, (length) => count('bytesUp', length)),
    upstream,
  );
  // `once` fails with the request; a body that cannot be sent shows there, or as an early answer, which counts.
  const [[answer]] = await Promise.all([once(upstream, 'response') as Promise<[IncomingMessage]>, sent.catch(() => undefined)]);
  count('serverMs', performance.now() - startedMs);
  await sleep(line.addedFirstByteMs);
  outgoing.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
  outgoing.flushHeaders();
  await pipeline(
    answer,
    throttle(line.streamBytesPerSecond, (length) => count('bytesDown', length)),
    outgoing,
  );
  outgoing.off('close', gone);
}

/** Name, value, name, value, as `rawHeaders`. */
function endToEnd(raw: readonly string[]): string[] {
  return raw.filter((_, at) => !hopByHop.has((raw[at - (at % 2)] ?? '').toLowerCase()));
}

/** So much may come at once after a pause: what a timer of a millisecond is worth. */
const burstMs = 1;
/** Chunks are cut, so that a large one does not come at once. */
const pieceBytes = 64 * 1024;

function throttle(bytesPerSecond: number, seen: (length: number) => void): Transform {
  /** When the last piece would have come over the line. */
  let arrivedMs = performance.now();
  const pass = async (chunk: Buffer, stream: Transform): Promise<void> => {
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      const piece = chunk.subarray(at, at + pieceBytes);
      arrivedMs = Math.max(arrivedMs, performance.now() - burstMs) + (piece.length * 1000) / bytesPerSecond;
      const earlyMs = arrivedMs - performance.now();
      if (earlyMs > burstMs) await sleep(earlyMs);
      seen(piece.length);
      stream.push(piece);
    }
  };
  return new Transform({
    transform(chunk: Buffer, _, done) {
      pass(chunk, this).then(() => done(), done);
    },
  });
}
