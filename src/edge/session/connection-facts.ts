/** What is known of an accepted connection. What only rules and log lines ask for is found out when they do: most connections meet neither. */
import type {FrontendConfig} from '../../config/proxy-value.ts';
import {plainAddress} from '../addresses.ts';
import type {Counters} from '../counters.ts';
import {nextConnectionId} from '../numbers.ts';
import type {ProxyHeader} from '../proxy-protocol/proxy-header.ts';
import type {ConnectionFacts, ConnectionFailure, TlsFacts} from '../samples/context.ts';
import type {ByteStream} from '../streams/byte-stream.ts';

interface Endpoint {
  host: string;
  port: number;
}

export class SocketFacts implements ConnectionFacts {
  readonly protocol = 'tcp';
  readonly frontend: FrontendConfig;
  readonly acceptedAtMs: number;
  readonly id: number;
  receivedProxy = false;
  received: ConnectionFacts['received'];
  tls: TlsFacts | null = null;
  failure: ConnectionFailure | null = null;
  listener: Counters | null = null;
  /** What the proxy in front said beyond addresses. */
  header: ProxyHeader | null = null;
  readonly #socket: ByteStream;
  #source: Endpoint | null = null;
  #destination: Endpoint | null = null;

  constructor(socket: ByteStream, frontend: FrontendConfig, acceptedAtMs: number) {
    this.#socket = socket;
    this.frontend = frontend;
    this.acceptedAtMs = acceptedAtMs;
    this.id = nextConnectionId();
  }

  get source(): Endpoint {
    this.#source ??= {host: plainAddress(this.#socket.remoteAddress ?? ''), port: this.#socket.remotePort ?? 0};
    return this.#source;
  }

  set source(endpoint: Endpoint) {
    this.#source = endpoint;
  }

  get destination(): Endpoint {
    this.#destination ??= {host: plainAddress(this.#socket.localAddress ?? ''), port: this.#socket.localPort ?? 0};
    return this.#destination;
  }

  set destination(endpoint: Endpoint) {
    this.#destination = endpoint;
  }

  /** For who asks when the connection is over, and tells nobody its addresses any more. */
  keepAddresses(): void {
    this.source = this.source;
    this.destination = this.destination;
  }

  /** From now on the connection is that of the client in the header. */
  proxied(header: ProxyHeader): void {
    this.receivedProxy = true;
    this.header = header;
    const {addresses} = header;
    if (header.local || addresses?.kind !== 'ip') return;
    this.received = {source: this.source, destination: this.destination};
    this.#source = {...addresses.source};
    this.#destination = {...addresses.destination};
  }
}
