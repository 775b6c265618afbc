/** A listener that ends TLS as a frontend does, and clients of it. */
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {type AddressInfo, createServer, type Socket} from 'node:net';
import type {CertificateSource, TlsBind} from '../../../src/config/tls.ts';
import {CommandError, run} from '../../../src/core/command.ts';
import {errorCode} from '../../../src/core/errors.ts';
import type {TlsFacts} from '../../../src/edge/samples/context.ts';
import {openTlsAcceptor, type TlsAcceptor} from '../../../src/edge/tls/accept-tls.ts';
import {type CertificateStore, openCertificateStore} from '../../../src/edge/tls/certificate-store.ts';

export function source(path: string, settings: Partial<CertificateSource> = {}): CertificateSource {
  return {path, serverNames: [], alpn: null, versions: null, verify: null, caFile: null, ...settings};
}

export const bareTlsBind: TlsBind = {
  min: null,
  max: null,
  certificates: [],
  strictSni: false,
  alpn: [],
  ciphers: null,
  ciphersuites: null,
  tickets: true,
  ticketKeysFile: null,
  verify: 'none',
  caFile: null,
  crlFile: null,
};

export interface TlsLab extends AsyncDisposable {
  readonly port: number;
  readonly acceptor: TlsAcceptor;
  readonly store: CertificateStore;
  /** Of the handshakes that succeeded. */
  readonly facts: TlsFacts[];
  /** Codes of the others. */
  readonly errors: string[];
  /** Raw sockets that are not gone yet. */
  readonly sockets: ReadonlySet<Socket>;
}

export interface TlsLabOptions {
  readonly bind: Partial<TlsBind>;
  readonly timeoutMs?: number;
  readonly maxHandshakes?: number;
  readonly ticketKeys?: Buffer;
  readonly store?: CertificateStore;
  /** Before the handshake. */
  readonly prepare?: (socket: Socket) => Promise<unknown>;
}

/** Answers with `hello` and then with what it gets. */
export async function openTlsLab(options: TlsLabOptions): Promise<TlsLab> {
  const bind = {...bareTlsBind, ...options.bind};
  const store = options.store ?? (await openCertificateStore(bind.certificates.map(({path}) => path)));
  const {ticketKeys = randomBytes(48), maxHandshakes = 100, timeoutMs = 5000} = options;
  const acceptor = await openTlsAcceptor(bind, {store, ticketKeys, maxHandshakes});
  const facts: TlsFacts[] = [];
  const errors: string[] = [];
  const sockets = new Set<Socket>();
  const serve = async (raw: Socket): Promise<void> => {
    sockets.add(raw);
    raw.on('close', () => sockets.delete(raw));
    await options.prepare?.(raw);
    const accepted = await acceptor.accept(raw, {timeoutMs});
    facts.push(accepted.facts);
    accepted.socket.on('error', () => {
      // Clients of tests leave as they like.
    });
    accepted.socket.write('hello\n');
    accepted.socket.pipe(accepted.socket);
  };
  const server = createServer({allowHalfOpen: true}, (raw) => {
    serve(raw).catch((error: unknown) => {
      errors.push(errorCode(error) ?? String(error));
      raw.destroySoon();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    acceptor,
    store,
    facts,
    errors,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface ClientReport {
  readonly ok: boolean;
  readonly output: string;
}

/** `openssl s_client`, which leaves as soon as the handshake is over. */
export async function sClient(port: number, ...args: string[]): Promise<ClientReport> {
  try {
    const {stdout, stderr} = await run(['openssl', 's_client', '-connect', `127.0.0.1:${port}`, ...args], {timeoutMs: 10_000, input: 'Q\n'});
    return {ok: true, output: stdout + stderr};
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return {ok: false, output: error.stderr};
  }
}
