import {createServer} from 'node:http';

/** Answers everything with one page. */
export async function webServer({status, body}: {status: number; body: string}): Promise<{readonly endpoint: string} & AsyncDisposable> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(status, {'content-length': body.length}).end(request.method === 'HEAD' ? '' : body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
