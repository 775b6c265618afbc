/** The connections for GETs to the servers of a store, kept for the next ones. */
import {type Get, GetConnection, type Head} from './get-connection.ts';

/** Of one server. */
const connectionsMax = 64;

export class GetConnections implements Disposable {
  readonly #servers = new Map<string, Server>();
  readonly #connectTimeoutMs: number;

  constructor({connectTimeoutMs}: {readonly connectTimeoutMs: number}) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** As `GetConnection.get()`. */
  async get(get: Get): Promise<Head | undefined> {
    const {origin} = get.url;
    const server = this.#servers.get(origin) ?? new Server(get.url, this.#connectTimeoutMs);
    this.#servers.set(origin, server);
    return server.get(get);
  }

  /** What is under way fails. */
  [Symbol.dispose](): void {
    for (const server of this.#servers.values()) server.close();
  }
}

class Server {
  readonly #url: URL;
  readonly #connectTimeoutMs: number;
  readonly #idle: GetConnection[] = [];
  readonly #all = new Set<GetConnection>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  constructor(url: URL, connectTimeoutMs: number) {
    this.#url = url;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  async get(get: Get): Promise<Head | undefined> {
    // Whoever is done leaves its place to the first of those who wait.
    if (this.#busy === connectionsMax) await new Promise<void>((resolve) => this.#waiting.push(() => resolve()));
    else this.#busy++;
    try {
      const connection = this.#idle.pop() ?? this.#connect();
      const head = await connection.get(get);
      if (connection.isUsable) {
        connection.rest();
        this.#idle.push(connection);
      }
      return head;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#busy--;
      else next();
    }
  }

  close(): void {
    for (const connection of this.#all) connection.close();
  }

  #connect(): GetConnection {
    const onClose = (connection: GetConnection): void => {
      this.#all.delete(connection);
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
    };
    const connection = new GetConnection(this.#url, {connectTimeoutMs: this.#connectTimeoutMs, onClose});
    this.#all.add(connection);
    return connection;
  }
}
