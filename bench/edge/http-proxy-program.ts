/**
 * A program: http-proxy from DIRECTORY in front of servers, with an agent that keeps connections, and WebSockets:
 * `http-proxy-program.ts DIRECTORY PORT=SERVER...`.
 */
import {Agent, createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import {createRequire} from 'node:module';
import type {Duplex} from 'node:stream';

interface HttpProxy {
  createProxyServer(options: {readonly target: string; readonly agent?: Agent}): {
    web(request: IncomingMessage, response: ServerResponse, failed: (error: Error) => void): void;
    ws(request: IncomingMessage, socket: Duplex, head: Buffer, failed: (error: Error) => void): void;
  };
}

const [directory = '', ...pairs] = process.argv.slice(2);
const httpProxy = createRequire(`${directory}/`)('http-proxy') as HttpProxy;

for (const pair of pairs) {
  const [port, server] = pair.split('=');
  const target = `http://${server}`;
  const proxy = httpProxy.createProxyServer({target, agent: new Agent({keepAlive: true})});
  const tunnels = httpProxy.createProxyServer({target});
  createServer((request, response) => {
    proxy.web(request, response, () => {
      response.writeHead(502).end();
    });
  })
    .on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      tunnels.ws(request, socket, head, () => socket.destroy());
    })
    .listen(Number(port), '127.0.0.1');
}
