import type {AppConfig} from '../config/value.ts';
import type {WorkerConfig} from '../config/worker-shape.ts';
import {CodedError} from '../core/errors.ts';
import type {NatEntry} from './nat-entries.ts';

/** The ports of this worker at which the others reach its apps: one for each port that an app exposes, the same for as long as the worker runs. */
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
      expose.map(({protocol, port}) => ({protocol, host, port: this.#portOf(name, protocol, port), targetHost: addressOf(name), targetPort: port})),
    );
  }

  /** By `tcp/80`. */
  of({name, expose}: AppConfig): Readonly<Record<string, number>> {
    return Object.fromEntries(expose.map(({protocol, port}) => [`${protocol}/${port}`, this.#portOf(name, protocol, port)]));
  }

  #portOf(app: string, protocol: string, port: number): number {
    const key = `${app} ${protocol}/${port}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const {first, last} = this.#worker.ports;
    if (this.#next > last) {
      throw new CodedError('ERR_NO_PORT', `Cannot publish ${protocol} ${port} of app "${app}": all of the ports ${first}-${last} of this worker are taken`, {
        source: 'client',
      });
    }
    this.#ports.set(key, this.#next);
    return this.#next++;
  }
}
