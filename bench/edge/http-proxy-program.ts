/** A program: http-proxy from DIRECTORY in front of an origin, with an agent that keeps connections: `http-proxy-program.ts DIRECTORY PORT ORIGIN-PORT`. */
import {Agent, createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import {createRequire} from 'node:module';

interface HttpProxy {
  createProxyServer(options: {readonly target: string; readonly agent: Agent}): {
    web(request: IncomingMessage, response: ServerResponse, failed: (error: Error) => void): void;
  };
}

const [directory = '', port, originPort] = process.argv.slice(2);
const httpProxy = createRequire(`${directory}/`)('http-proxy') as HttpProxy;
const proxy = httpProxy.createProxyServer({target: `http://127.0.0.1:${originPort}`, agent: new Agent({keepAlive: true})});

createServer((request, response) => {
  proxy.web(request, response, () => {
    response.writeHead(502).end();
  });
}).listen(Number(port), '127.0.0.1');
