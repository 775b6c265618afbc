import type {AppName} from '../core/ids.ts';

/** Whether a session with an app at that address has no other end any more. */
type IsOver = (app: AppName, host: string) => boolean;

/** Tells the edge which of its sessions lead to instances that are gone for good: a worker that has died sends nothing that would end them. */
export class MovedApps {
  readonly #listeners = new Set<(isOver: IsOver) => void>();

  listen(listener: (isOver: IsOver) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** It runs at this address now, and nowhere else. */
  runsAt(app: AppName, address: string): void {
    this.#tell((other, host) => other === app && host !== address);
  }

  /** A worker is gone. */
  gone(address: string): void {
    this.#tell((_app, host) => host === address);
  }

  #tell(isOver: IsOver): void {
    for (const listener of this.#listeners) listener(isOver);
  }
}
