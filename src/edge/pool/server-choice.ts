/** What the balance algorithms know of a server and of a session, and what they are. */

export interface BalancedServer {
  /** From 1, in the order of the configuration. */
  readonly id: number;
  /** As configured or set: 0 to 256. */
  readonly weight: number;
  /** `weight` in sixteenths, fewer while the server starts slowly. */
  readonly effectiveWeight: number;
  /** Sessions that it has, and those that wait for it. */
  readonly load: number;
  /** An app that would have to be woken is not. */
  readonly isAwake: boolean;
  /** Another session would be served at once. */
  hasRoom(): boolean;
}

/** Servers that one session has tried in vain. */
export interface TriedServers<S> {
  /** Never again. */
  readonly dead: ReadonlySet<S>;
  /** Only when there is no other. */
  readonly previous: S | null;
}

/** Equal weights are in the order of the configuration, whatever the algorithm. */
export interface Chooser<S, R> {
  /** The servers that can be used, or their weights, have changed. */
  update(servers: readonly S[]): void;
  /** Null: every server is full, or dead to this session. */
  choose(request: R, tried: TriedServers<S>): S | null;
}
