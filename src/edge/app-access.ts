import type {AppName} from '../core/ids.ts';
import type {Trigger} from '../core/trigger.ts';

/** Where an app can be reached. */
export interface AppEndpoint {
  readonly host: string;
  /** Undefined: the port that the app exposes. */
  readonly port?: number | undefined;
}

/** What the edge needs of whoever runs apps. */
export interface AppAccess {
  /**
   * Resolves when the app's listener accepts, at once when it is awake. Concurrent callers share one wake; a caller that leaves
   * (`signal`) does not stop it for the others. Rejects with CodedError.
   */
  wake(app: AppName, trigger: Trigger, signal: AbortSignal): Promise<AppEndpoint>;
  /** Nobody accepts where the app was said to be: it is looked for again before the next wake. */
  missed(app: AppName): void;
  /** Tells that a session with the app exists, until it is disposed. Called before `wake`. */
  session(app: AppName): SessionHandle;
}

export interface SessionHandle extends Disposable {
  /** True: the client said something that is unanswered, so the app must not be put to sleep. False at first. */
  busy(value: boolean): void;
  /** The app was reached: what is unanswered is on its way from now on, and not held any more. */
  reached(): void;
}

export interface CheckPlace {
  readonly host: string;
  readonly port: number;
  /** The local address that a check has to come from; null: any. */
  readonly from: string | null;
}

/** Whether apps are awake, for those who must not wake them: health checks of both kinds, limits on wakes, `balance first`. */
export interface AppWatch {
  /** On this host or another one. */
  isAwake(app: AppName): boolean;
  /**
   * Where an app that is awake can be checked at one of its ports: such connections are no traffic of it, and do not wake it if it sleeps by then.
   * Null: it sleeps, is on its way to sleep or back, or where it is on another host is not known (yet).
   */
  checkPlace(app: AppName, port: number): CheckPlace | null;
  /** False: the last attempt at the app has failed, so that a session may not be answered. */
  isWakeable(app: AppName): boolean;
  /** A health check from outside was answered in the place of an app that sleeps. */
  checkAnswered(app: AppName): void;
  /**
   * Calls back when instances are gone for good, with a question that tells them: whether a session with an app at that address has no other end any
   * more. Until the returned function is called.
   */
  onMoved(callback: (isOver: (app: AppName, host: string) => boolean) => void): () => void;
  /** Calls back when an app has woken up or has gone to sleep, until the returned function is called. */
  onChange(callback: (app: AppName, awake: boolean) => void): () => void;
}
