/** Variables of a transaction in HAProxy's scopes. `req` ends when the answer begins, `txn` and `res` with the answer, `sess` with the connection. */
import type {SampleValue, Variables} from '../samples/context.ts';

export type VariableStore = Map<string, SampleValue>;

export class TransactionVariables implements Variables {
  readonly #transaction: VariableStore = new Map();
  readonly #session: VariableStore;
  readonly #process: VariableStore;

  constructor({session, process}: {readonly session: VariableStore; readonly process: VariableStore}) {
    this.#session = session;
    this.#process = process;
  }

  get(name: string): SampleValue {
    return this.#store(name).get(name) ?? null;
  }

  set(name: string, value: SampleValue): void {
    this.#store(name).set(name, value);
  }

  unset(name: string): void {
    this.#store(name).delete(name);
  }

  /** The answer begins. */
  endRequest(): void {
    for (const name of this.#transaction.keys()) if (name.startsWith('req.')) this.#transaction.delete(name);
  }

  #store(name: string): VariableStore {
    if (name.startsWith('sess.')) return this.#session;
    return name.startsWith('proc.') ? this.#process : this.#transaction;
  }
}
