/** From a server that a session has a place at to an address that can be connected to: at once for an ordinary one, after its wake for an app. */
import type {BackendConfig, Target} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import type {AppName} from '../../core/ids.ts';
import {triggerText} from '../../core/trigger.ts';
import type {AppAccess, AppEndpoint, AppWatch} from '../app-access.ts';
import type {AssignedServer, Assignment, Endpoint} from './assignment.ts';
import {asError, HeldSession, hold, type WaitingRoom} from './hold.ts';
import {isRefusal, queueFull, wakeFailed, wakeTimeout} from './pool-errors.ts';
import type {Rush} from './rush.ts';
import type {WakeLimiter} from './wake-limiter.ts';

export interface ReachOptions {
  readonly backend: BackendConfig;
  readonly apps: AppAccess;
  readonly watch: AppWatch | null;
  readonly clock: Clock;
  readonly room: WaitingRoom;
  readonly wakeLimiter: WakeLimiter;
  /** Of those that waited for a wake. */
  readonly rush: Rush;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

/** Of an ordinary server, which nothing has to be done for. */
export function directEndpoint({stats}: AssignedServer, target: Exclude<Target, {readonly kind: 'app'}>): Endpoint {
  stats.connectAttempts++;
  if (target.kind === 'address') return {host: target.host, port: target.port, path: null};
  return {host: '', port: 0, path: target.abstract ? `\0${target.path}` : target.path};
}

/**
 * Neither `timeout connect` nor `timeout queue` bounds a wake, `timeout wake` does.
 * @throws CodedError ERR_WAKE_RATE, ERR_WAKE_TIMEOUT, ERR_QUEUE_FULL, what the wake threw, or the reason of the signal
 */
export async function reachServer(server: AssignedServer, assignment: Assignment, options: ReachOptions): Promise<Endpoint> {
  const {target} = server;
  assignment.probed = null;
  if (target.kind !== 'app') return directEndpoint(server, target);
  if (assignment.request.isProbe === true) return probedEndpoint(server, assignment, {...target, watch: options.watch});
  server.stats.connectAttempts++;
  const {app, port} = target;
  const {apps, backend, clock, rush, wakeLimiter} = options;
  if (!server.isAwake && server.wakers.size === 0) wakeLimiter.admit(app, assignment.source);
  const held = new HeldSession<Assignment, AppEndpoint>(assignment, server.wakers, clock.monotonicMs());
  const over = new AbortController();
  assignment.handle?.[Symbol.dispose]();
  const handle = apps.session(app);
  assignment.handle = handle;
  handle.busy(true);
  try {
    const reached = await hold(held, {
      ...options,
      timeoutMs: backend.wakeTimeoutMs,
      timedOut: () => wakeTimeout(app, backend.wakeTimeoutMs),
      full: () => queueFull(`app "${app}"`, server.wakers.size),
      begin: () => {
        server.stats.wakes++;
        const trigger = {...assignment.request.trigger, port};
        const {isAwake} = server;
        if (!isAwake) {
          assignment.waking = {app, trigger: triggerText(trigger)};
          assignment.request.held?.(assignment.waking);
        }
        const goOn = (endpoint: AppEndpoint): void => (isAwake ? held.resolve(endpoint) : rush.enter(() => held.resolve(endpoint)));
        apps.wake(app, trigger, over.signal).then(goOn, (error: unknown) => held.reject(asError(error)));
      },
    });
    handle.reached();
    return {host: reached.host, port: reached.port ?? port, path: null};
  } catch (error) {
    over.abort(error);
    throw error;
  } finally {
    assignment.wakeMs += clock.monotonicMs() - held.sinceMs;
  }
}

/** An app that is not where it was: it may have moved meanwhile. @throws as `reachServer`; ERR_WAKE_FAILED */
export async function reachAgain(server: AssignedServer, app: AppName, assignment: Assignment, options: ReachOptions): Promise<Endpoint> {
  options.apps.missed(app);
  try {
    return await reachServer(server, assignment, options);
  } catch (error) {
    options.signal.throwIfAborted();
    throw isRefusal(error) ? error : wakeFailed(error);
  }
}

/** Such connections count as no traffic, and there is no session that keeps the app awake. */
function probedEndpoint(
  {stats}: AssignedServer,
  assignment: Assignment,
  of: {readonly app: AppName; readonly port: number; readonly watch: AppWatch | null},
): Endpoint {
  const {app, port, watch} = of;
  const place = watch?.checkPlace(app, port) ?? null;
  assignment.probed = {app, isAwake: place !== null};
  if (place === null) return {host: '', port, path: null};
  stats.connectAttempts++;
  return {host: place.host, port: place.port, path: null, from: place.from ?? undefined};
}
