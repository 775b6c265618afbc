/** Stands between a client and an HTTP server and does to chosen requests what networks and servers do. */
import {Agent, createServer, type IncomingMessage, type ServerResponse, request as send} from 'node:http';

export type Fault =
  /** An answer of the proxy's own, in the form of S3's errors. */
  | {readonly kind: 'answer'; readonly status: number; readonly code: string}
  /** Nothing is ever answered, as from a host that has vanished. */
  | {readonly kind: 'silence'}
  /** The connection is reset, the server has not seen the request. */
  | {readonly kind: 'reset'}
  /** The server does what it is asked, the answer is lost. */
  | {readonly kind: 'lost answer'}
  /** The answer ends inside its body with a reset, or is heard no more. */
  | {readonly kind: 'cut' | 'stall'; readonly afterBytes: number}
  | {readonly kind: 'delay'; readonly delayMs: number};

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly authorization: string;
}

export interface FaultProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** In the order in which they came. */
  readonly seen: readonly SeenRequest[];
  /** Asked for each request; null: it passes. At first all pass. */
  decide: (request: SeenRequest) => Fault | null;
}

export async function faultProxy(targetPort: number): Promise<FaultProxy> {
  const seen: SeenRequest[] = [];
  const agent = new Agent({keepAlive: false});
  const proxy = {decide: (_request: SeenRequest): Fault | null => null};
  const server = createServer((request, response) => {
    const one = {method: request.method ?? '', url: request.url ?? '', authorization: request.headers.authorization ?? ''};
    seen.push(one);
    handle(proxy.decide(one), {request, response, agent, targetPort});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return Object.assign(proxy, {
    endpoint: `http://127.0.0.1:${address.port}`,
    seen,
    async [Symbol.asyncDispose]() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

/** A rule that applies the given faults to the first requests that match, one each. */
export function firstOnes(matches: (request: SeenRequest) => boolean, ...faults: readonly Fault[]): (request: SeenRequest) => Fault | null {
  const left = [...faults];
  return (request) => (matches(request) ? (left.shift() ?? null) : null);
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly agent: Agent;
  readonly targetPort: number;
}

function handle(fault: Fault | null, exchange: Exchange): void {
  const {request, response} = exchange;
  switch (fault?.kind) {
    case undefined:
      forward(exchange, (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 500, answer.headers)));
      return;
    case 'answer':
      request.resume().on('end', () => {
        const body = `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made up for a test</Message></Error>`;
        response.writeHead(fault.status, {'content-type': 'application/xml', 'content-length': body.length}).end(request.method === 'HEAD' ? '' : body);
      });
      return;
    case 'silence':
      request.resume();
      return;
    case 'reset':
      request.socket.resetAndDestroy();
      return;
    case 'lost answer':
      forward(exchange, (answer) => answer.resume().on('end', () => request.socket.resetAndDestroy()));
      return;
    case 'cut':
    case 'stall':
      forward(exchange, (answer) => passSome(answer, exchange, fault));
      return;
    case 'delay': {
      const timer = setTimeout(() => handle(null, exchange), fault.delayMs);
      request.socket.on('close', () => clearTimeout(timer));
      return;
    }
    default:
      fault satisfies never;
  }
}

function passSome(answer: IncomingMessage, {request, response}: Exchange, {kind, afterBytes}: {kind: 'cut' | 'stall'; afterBytes: number}): void {
  response.writeHead(answer.statusCode ?? 500, answer.headers);
  let leftBytes = afterBytes;
  answer.on('data', (piece: Buffer) => {
    if (leftBytes > 0) response.write(piece.subarray(0, leftBytes));
    leftBytes -= piece.length;
  });
  answer.on('end', () => {
    // What was written must be on its way before the reset.
    if (kind === 'cut') setTimeout(() => request.socket.resetAndDestroy(), 20);
  });
}

function forward({request, response, agent, targetPort}: Exchange, answered: (answer: IncomingMessage) => unknown): void {
  const {method, url: path, headers} = request;
  const onward = send({host: '127.0.0.1', port: targetPort, method, path, headers, agent}, answered);
  onward.on('error', () => request.socket.destroy());
  response.on('close', () => {
    if (!response.writableEnded) onward.destroy();
  });
  request.pipe(onward);
}
