/** The servers of a backend, and which of them balance chooses among. */
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import type {AssignedServer, Assignment} from './assignment.ts';
import {createChooser} from './balance.ts';
import type {BalanceRequest} from './hash-key.ts';
import {PoolServer} from './server.ts';
import type {Chooser, TriedServers} from './server-choice.ts';
import type {ServerHost} from './server-host.ts';

/** Those that take new servers; of those that hash, a ring does. */
const dynamicAlgorithms: ReadonlySet<BackendConfig['balance']['kind']> = new Set(['roundrobin', 'leastconn', 'first', 'random']);

export class ServerSet {
  /** In the order of the configuration; those that came later are the last ones. */
  all: readonly AssignedServer[];
  /** Those that balance chooses among: of the backup servers only the first, unless `allbackups`. */
  usable: readonly AssignedServer[] = [];
  readonly #config: BackendConfig;
  readonly #host: ServerHost<AssignedServer>;
  readonly #chooser: Chooser<AssignedServer, BalanceRequest>;

  constructor(config: BackendConfig, host: ServerHost<AssignedServer>) {
    this.#config = config;
    this.#host = host;
    this.all = config.servers.map((server, index) => new PoolServer<Assignment>(index + 1, server, host));
    this.#chooser = createChooser(config, this.all);
    this.regroup();
  }

  byName(name: string): AssignedServer | null {
    return this.all.find((server) => server.name === name) ?? null;
  }

  choose(request: BalanceRequest, tried: TriedServers<AssignedServer>): AssignedServer | null {
    return this.#chooser.choose(request, tried);
  }

  /** To be called when a server's condition or weight has changed. */
  regroup(): void {
    const up = this.all.filter(({condition}) => condition === 'up');
    const active = up.filter(({config}) => !config.backup);
    const backups = this.#config.allBackups ? up : up.slice(0, 1);
    this.usable = active.length > 0 ? active : backups;
    this.#chooser.update(this.usable);
  }

  /** It is in maintenance, and its checks are off, as is its agent. Its number is the lowest that is free. @throws CodedError ERR_STATIC_BALANCE */
  add(config: ServerConfig): AssignedServer {
    const {balance, hash} = this.#config;
    const isStatic = balance.kind === 'static-rr' || (!dynamicAlgorithms.has(balance.kind) && hash.kind !== 'consistent');
    if (isStatic) throw new CodedError('ERR_STATIC_BALANCE', 'Backend must use a dynamic load balancing to support dynamic servers.', {source: 'client'});
    let id = 1;
    while (this.all.some((server) => server.id === id)) id++;
    const server = new PoolServer<Assignment>(id, {...config, disabled: true}, this.#host);
    server.checksEnabled = false;
    if (server.agent !== null) server.agent.isEnabled = false;
    this.all = [...this.all, server];
    this.regroup();
    return server;
  }

  /** The caller has seen that it is in maintenance and has no sessions. */
  remove(server: AssignedServer): void {
    this.all = this.all.filter((other) => other !== server);
    server.dispose();
    this.regroup();
  }
}
