import type {AppConfig} from '../config/value.ts';
import type {WorkerConfig} from '../config/worker-shape.ts';
import {CodedError} from '../core/errors.ts';
import type {NatEntry} from './nat-entries.ts';

const checks = 'check';
type Use = 'tcp' | 'udp' | typeof checks;
type Published = Pick<AppConfig, 'name' | 'expose'>;

/**
 * The ports of this worker at which the others reach its apps, the same for as long as the worker runs: one for each port that an app exposes. Of an app
 * that others check, each of TCP has another one for that.
 */
export class PublishedPorts {
  readonly #worker: WorkerConfig;
  readonly #ports = new Map<string, number>();
  /** By app: when its ports for checks lead to it. */
  readonly #checked = new Map<string, Promise<void>>();
  #next: number;
  #changed: () => Promise<void> = () => Promise.resolve();

  constructor(worker: WorkerConfig) {
    this.#worker = worker;
    this.#next = worker.ports.first;
  }

  /** @param addressOf the private address of an app. @throws CodedError ERR_NO_PORT when there are more exposed ports than `ports` has */
  entries(apps: readonly Published[], addressOf: (app: string) => string): NatEntry[] {
    const host = this.#worker.address;
    return apps.flatMap(({name, expose}) =>
      expose.flatMap(({protocol, port}) => {
        const entry = {protocol, host, port: this.#portOf(name, protocol, port), targetHost: addressOf(name), targetPort: port};
        return this.#isChecked(name, protocol) ? [entry, {...entry, port: this.#portOf(name, checks, port), isUnnoticed: true}] : [entry];
      }),
    );
  }

  /** By `tcp/80`, and `check/80` of an app that is checked. */
  of({name, expose}: Published): Readonly<Record<string, number>> {
    const entry = (use: Use, port: number): readonly [string, number] => [`${use}/${port}`, this.#portOf(name, use, port)];
    return Object.fromEntries(expose.flatMap(({protocol, port}) => [entry(protocol, port), ...(this.#isChecked(name, protocol) ? [entry(checks, port)] : [])]));
  }

  /** @param changed has the kernel forward the `entries()` of now */
  onChange(changed: () => Promise<void>): void {
    this.#changed = changed;
  }

  /** Resolves when the app can be checked from elsewhere. @throws CodedError ERR_NO_PORT; whatever `changed` of `onChange()` throws */
  async addChecks({name, expose}: Published): Promise<void> {
    const known = this.#checked.get(name);
    if (known !== undefined) return known;
    for (const {protocol, port} of expose) if (protocol === 'tcp') this.#portOf(name, checks, port);
    const added = Promise.resolve().then(() => this.#changed());
    this.#checked.set(name, added);
    // The next one tries anew.
    added.catch(() => this.#checked.delete(name));
    return added;
  }

  #isChecked(app: string, protocol: 'tcp' | 'udp'): boolean {
    return protocol === 'tcp' && this.#checked.has(app);
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
