import type {AppConfig} from '../config/value.ts';
import type {WorkerConfig} from '../config/worker-shape.ts';
import {CodedError} from '../core/errors.ts';
import type {NatEntry} from './nat-entries.ts';

const checks = 'check';
type Use = 'tcp' | 'udp' | typeof checks;

/**
 * The ports of this worker at which the others reach its apps, the same for as long as the worker runs: one for each port that an app exposes, and for
 * each of TCP another one, for their health checks.
 */
export class PublishedPorts {
  readonly #worker: WorkerConfig;
  readonly #ports = new Map<string, number>();
  #next: number;

  constructor(worker: WorkerConfig) {
    this.#worker = worker;
    this.#next = worker.ports.first;
  }

  /** @param addressOf the private address of an app. @throws CodedError ERR_NO_PORT when there are more exposed ports than `ports` has */
  entries(apps: readonly AppConfig[], addressOf: (app: string) => string): NatEntry[] {
    const host = this.#worker.address;
    return apps.flatMap(({name, expose}) =>
      expose.flatMap(({protocol, port}) => {
        const entry = {protocol, host, port: this.#portOf(name, protocol, port), targetHost: addressOf(name), targetPort: port};
        return protocol === 'tcp' ? [entry, {...entry, port: this.#portOf(name, checks, port), isUnnoticed: true}] : [entry];
      }),
    );
  }

  /** By `tcp/80`, and `check/80`. */
  of({name, expose}: AppConfig): Readonly<Record<string, number>> {
    const entry = (use: Use, port: number): readonly [string, number] => [`${use}/${port}`, this.#portOf(name, use, port)];
    return Object.fromEntries(expose.flatMap(({protocol, port}) => [entry(protocol, port), ...(protocol === 'tcp' ? [entry(checks, port)] : [])]));
  }

  #portOf(app: string, use: Use, port: number): number {
    const key = `${app} ${use}/${port}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const {first, last} = this.#worker.ports;
    if (this.#next > last) {
      throw new CodedError('ERR_NO_PORT', `Cannot publish ${use} ${port} of app "${app}": all of the ports ${first}-${last} of this worker are taken`, {
        source: 'client',
      });
    }
    this.#ports.set(key, this.#next);
    return this.#next++;
  }
}
