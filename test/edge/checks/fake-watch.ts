/** An app that is awake where the test says so. */
import {type AppName, appName} from '../../../src/core/ids.ts';
import type {AppWatch, CheckPlace} from '../../../src/edge/app-access.ts';

export class FakeWatch implements AppWatch {
  readonly #callbacks = new Set<(app: AppName, awake: boolean) => void>();
  #host: string | null = null;
  /** The port for the checks of an app on another host. */
  elsewhere: number | 'unknown' | null = null;

  onMoved(): () => void {
    return () => undefined;
  }

  isAwake(): boolean {
    return this.#host !== null;
  }

  isWakeable(): boolean {
    return true;
  }

  checkAnswered(): void {
    // Nobody counts.
  }

  checkPlace(_app: AppName, port: number): CheckPlace | null {
    return this.#host === null || this.elsewhere === 'unknown' ? null : {host: this.#host, port: this.elsewhere ?? port, from: null};
  }

  onChange(callback: (app: AppName, awake: boolean) => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  set(name: string, host: string | null): void {
    this.#host = host;
    for (const callback of this.#callbacks) callback(appName(name), host !== null);
  }

  get listeners(): number {
    return this.#callbacks.size;
  }
}
