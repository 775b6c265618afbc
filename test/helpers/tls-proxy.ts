/** Ends TLS before a server on the loopback, with a certificate of an authority that nobody knows. */
import {readFile} from 'node:fs/promises';
import {connect, type Socket} from 'node:net';
import {join} from 'node:path';
import {pipeline} from 'node:stream';
import {createServer} from 'node:tls';
import {run} from '../../src/core/command.ts';

export interface TlsProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** The authority's certificate, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string;
}

/** @param directory where keys and certificates are put */
export async function tlsProxy(targetPort: number, directory: string): Promise<TlsProxy> {
  const [caKey, caFile, keyFile, requestFile, certFile] = ['ca.key', 'ca.pem', 'server.key', 'server.csr', 'server.pem'].map((name) =>
    join(directory, name),
  ) as [string, string, string, string, string];
  const openssl = async (...args: string[]): Promise<void> => {
    await run(['openssl', ...args], {timeoutMs: 20_000});
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...newKey, '-keyout', caKey, '-out', caFile, '-days', '2', '-subj', '/CN=authority of a test');
  await openssl('req', ...newKey, '-keyout', keyFile, '-out', requestFile, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1');
  await openssl(
    'x509',
    '-req',
    '-in',
    requestFile,
    '-CA',
    caFile,
    '-CAkey',
    caKey,
    '-CAcreateserial',
    '-out',
    certFile,
    '-days',
    '1',
    '-copy_extensions',
    'copy',
  );
  const sockets = new Set<Socket>();
  const server = createServer({key: await readFile(keyFile), cert: await readFile(certFile)}, (socket) => {
    const onward = connect(targetPort, '127.0.0.1');
    sockets.add(socket).add(onward);
    // A connection that ends is no failure of the proxy.
    pipeline(socket, onward, socket, () => {
      sockets.delete(socket);
      sockets.delete(onward);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    endpoint: `https://127.0.0.1:${address.port}`,
    caFile,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
