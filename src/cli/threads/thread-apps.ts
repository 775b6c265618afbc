/** The apps as a thread sees them that is not the first: that one has them, and is asked. */
import type {AppName} from '../../core/ids.ts';
import type {AppAccess, AppEndpoint, AppWatch} from '../../edge/app-access.ts';
import type {Channel} from './channel.ts';
import type {AppAt, FromThread, ToThread} from './thread-messages.ts';

type Listener = (app: AppName, awake: boolean) => void;
type MovedListener = (isOver: (app: AppName, host: string) => boolean) => void;

export class ThreadApps {
  readonly #channel: () => Channel<FromThread, ToThread>;
  readonly #awake = new Set<AppName>();
  readonly #listeners = new Set<Listener>();
  readonly #movedListeners = new Set<MovedListener>();
  #lastSession = 0;

  constructor(channel: () => Channel<FromThread, ToThread>) {
    this.#channel = channel;
  }

  readonly access: AppAccess = {
    wake: (app, trigger) => this.#channel().ask<AppEndpoint>({kind: 'wake', app, trigger}),
    missed: (app) => this.#channel().tell({kind: 'missed', app}),
    session: (app) => {
      const session = ++this.#lastSession;
      const channel = this.#channel();
      channel.tell({kind: 'session', session, app});
      let isOver = false;
      return {
        busy: (busy) => channel.tell({kind: 'busy', session, busy}),
        reached: () => channel.tell({kind: 'reached', session}),
        [Symbol.dispose]() {
          if (!isOver) channel.tell({kind: 'over', session});
          isOver = true;
        },
      };
    },
  };

  /** Checks are the first thread's, those from outside included. */
  readonly watch: AppWatch = {
    isAwake: (app) => this.#awake.has(app),
    checkPlace: () => null,
    isWakeable: () => true,
    checkAnswered: () => undefined,
    onMoved: (callback) => {
      this.#movedListeners.add(callback);
      return () => void this.#movedListeners.delete(callback);
    },
    onChange: (callback) => {
      this.#listeners.add(callback);
      return () => void this.#listeners.delete(callback);
    },
  };

  /** Of a configuration that comes: what an app of one before it becomes is told, too. */
  begin(awake: readonly AppName[]): void {
    for (const app of awake) this.changed(app, true);
  }

  changed(app: AppName, awake: boolean): void {
    if (this.#awake.has(app) === awake) return;
    if (awake) this.#awake.add(app);
    else this.#awake.delete(app);
    for (const listener of this.#listeners) listener(app, awake);
  }

  /** Instances at these places are gone for good. */
  moved(over: readonly AppAt[]): void {
    const gone = new Set(over.map(({app, host}) => `${app} ${host}`));
    for (const listener of this.#movedListeners) listener((app, host) => gone.has(`${app} ${host}`));
  }

  /** Where sessions with apps lead to. @returns each place once */
  places(): readonly AppAt[] {
    const found = new Map<string, AppAt>();
    const note = (app: AppName, host: string): boolean => {
      found.set(`${app} ${host}`, {app, host});
      return false;
    };
    for (const listener of this.#movedListeners) listener(note);
    return [...found.values()];
  }
}
