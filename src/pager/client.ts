/** The gateway's side of the pager: starts the process, starts it again when it dies, and calls it. */
import {resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {type Daemon, startDaemon} from '../core/command.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import type {FencingToken, Generation, InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {MountedImage} from './images/fuse-images.ts';
import type {MountImageRequest} from './images/rootfs-images.ts';
import type {MemoryReport} from './memory-blocks.ts';
import type {PredictedReport} from './prediction/predicted-report.ts';
import type {
  AppSurvey,
  CommitOptions,
  Committed,
  Compacted,
  CompactOptions,
  PagerMessage,
  PagerMethod,
  PagerRequest,
  PagerSecrets,
  PagerService,
  PagerSettings,
  PagerStatus,
  PagingStats,
  Placement,
  PreparedRestore,
  RemoteError,
  RemoteSettings,
  RestoreRequest,
  TierEvent,
} from './protocol.ts';

export interface PagerOptions {
  /** Where contents of images are kept, and how much of them; without, no app can have an image as its root. */
  readonly images?: PagerSettings['images'];
  readonly storeDir: string;
  readonly runtimeDir: string;
  /** Where the files of apps are; with `remote`, they are stored there too. */
  readonly appsDir?: string;
  /** Default null: what is committed stays in `storeDir`. */
  readonly remote?: RemoteSettings | null;
  /** The first seals what is stored from now on, all open what was sealed. Default none: nothing is sealed. */
  readonly encryptionKeys?: readonly Uint8Array[];
  readonly log: Log;
  /** The instance must be killed, and its last checkpoint stands: some page of it can never be had again. */
  readonly onInstanceLost: (instance: InstanceId, reason: string, damaged: boolean) => void;
  readonly onPlacement?: (app: string, placement: Placement) => void;
  readonly onTierEvent?: (app: string, event: TierEvent, message: string) => void;
  /** Another pager process has taken over. */
  readonly onRestarted?: () => void;
}

export interface Pager extends AsyncDisposable {
  /** Of the pager process that serves now. */
  readonly pid: number;
  /**
   * Loads a checkpoint, makes its images visible, and listens for CRIU in `workDir`. `release()` undoes it. Of one that is kept elsewhere, the files may
   * still be on their way then: see `fetchLayers()`.
   * @throws CodedError ERR_READ_LATER when it is prepared ahead and CRIU would read what could be damaged by then
   */
  prepareRestore(request: RestoreRequest): Promise<PreparedRestore>;
  /** To be called when CRIU goes on: the predicted pages are installed then. @throws CodedError when the restore is not prepared (any more) */
  expect(instance: InstanceId, trigger: Trigger): Promise<{readonly predictedPages: number}>;
  /** Makes a generation out of a dump whose tasks are still frozen. When it throws, nothing has changed and they may go on. */
  commit(request: CommitOptions): Promise<Committed>;
  /** Mounts an image as the root of an app, read-only, until the app gets another one. */
  mountImage(request: MountImageRequest): Promise<MountedImage>;
  /** Removes everything that is stored of an app, which must not run. */
  purge(app: string): Promise<void>;
  discard(app: string, generation: Generation): Promise<void>;
  stats(instance: InstanceId): Promise<PagingStats>;
  /** To be called when no process of the instance is left. @throws CodedError ERR_STILL_USED (retryable) while one lives */
  release(instance: InstanceId): Promise<void>;
  /** What was learned of the pages that an app touches. */
  predicted(app: string): Promise<PredictedReport>;
  /** The pages of its memory; null when nothing of it is on this host. @throws as the store */
  memory(app: string): Promise<MemoryReport | null>;
  /** Complete generations, the oldest first. */
  generations(app: string): Promise<readonly Generation[]>;
  /** The newest generation that can be loaded. */
  latest(app: string): Promise<Generation | null>;
  meta(app: string, generation: Generation): Promise<{readonly meta: unknown; readonly token: FencingToken}>;
  /** Whether `compact()` would write anything. */
  compactionDue(app: string, generation: Generation): Promise<boolean>;
  /**
   * Writes the newest generation again as the next one, with its pages in fewer segments; the original stays.
   * @returns null when there is nothing to gain, or it was given up
   */
  compact(request: CompactOptions): Promise<Compacted | null>;
  /** Gives up what `compact()` does for an app; a commit does so, too. */
  stopCompacting(app: string): Promise<void>;
  /** Removes copies that `compact()` made of a generation. Only while nothing points at them. */
  discardCopies(app: string, generation: Generation): Promise<void>;
  /** The newest generation is certain to stay: it is uploaded, if there is where to. */
  keep(app: string): Promise<void>;
  prune(app: string, keep: number): Promise<void>;
  /** At start-up only: removes what interrupted commits of each left, and says what the store has of it. @throws CodedError ERR_WRONG_KEY; as the store */
  survey(apps: readonly string[]): Promise<readonly AppSurvey[]>;
  /** @returns false when the remote store cannot be reached now. @throws CodedError when it cannot be used as it is configured */
  checkStore(): Promise<boolean>;
  /** What is done for all apps now, and was since the pager started. */
  status(): Promise<PagerStatus>;
  /** What all objects of an app take in the store. @throws as the store */
  storedBytes(app: string): Promise<number>;
  /** Where the newest generation is; null without a remote store. */
  placement(app: string): Promise<Placement | null>;
  /** Layers take so much of `cache-size`, and those of the apps in `dropped` are gone. @returns what copies of objects take after they made room */
  shareCache(layerBytes: number, dropped: readonly string[]): Promise<number>;
  /** Resolves when everything of the app is in the remote store. @throws CodedError ERR_NOT_STORED (retryable) */
  finishUpload(app: string): Promise<void>;
  /** Leaves the app in the remote store only. @throws CodedError ERR_STILL_USED, ERR_NOT_STORED (retryable) */
  dropLocal(app: string): Promise<void>;
  /** Another worker may have had the app: what is in the store is looked at anew. @throws CodedError */
  refresh(app: string): Promise<void>;
  /** Looks anew, and brings all of the newest generation here. @returns null when there is none. @throws CodedError */
  foresee(app: string): Promise<Generation | null>;
  /** Brings layers of an app's files here. @throws CodedError ERR_NO_REMOTE_STORE, ERR_DAMAGED_CHECKPOINT; as the store */
  fetchLayers(app: string, layers: readonly string[]): Promise<void>;
  /** Instead of disposing: the pager ends as if it was killed, and the next one takes over what it serves. */
  leave(): Promise<void>;
}

/**
 * A small heap: pages never enter it; but the young part of it has room for what a wake makes. V8 counts the memory of buffers to it, and would collect garbage
 * after some MiB of those that a wake needs; and it would forget the code of wakes while all apps sleep (docs/performance/cold-wake.md).
 */
const nodeOptions = ['--min-semi-space-size=4', '--max-semi-space-size=4', '--max-old-space-size=256', '--heap-growing-percent=150', '--no-flush-bytecode'];
/** Memory for buffers comes in huge pages, where the system has them: see mallopt(3), and "Memory Allocation Tunables" in the manual of glibc. */
const tunables = {GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432'};
const startTimeoutMs = 20_000;
const stopTimeoutMs = 10_000;
const restartDelayMs = {first: 10, limit: 5000} as const;
/** A pager that served for so long was a good one: the next restart waits for the shortest time again. */
const steadyMs = 10_000;

function remote(error: RemoteError): CodedError {
  return new CodedError(error.code, error.message, {source: error.source, retryable: error.retryable});
}

function died(): CodedError {
  return new CodedError('ERR_PAGER_DIED', 'Cannot finish what the pager was asked for: its process ended', {source: 'host', retryable: true});
}

/** One pager process and the calls that wait for it. */
class PagerProcess {
  readonly #daemon: Daemon;
  readonly #options: PagerOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ready = Promise.withResolvers<void>();
  #nextId = 1;

  static async start(options: PagerOptions): Promise<PagerProcess> {
    // Compiled code lies beside compiled code.
    const script = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url));
    const settings: PagerSettings = {
      storeDir: resolve(options.storeDir),
      runtimeDir: resolve(options.runtimeDir),
      remote: options.remote ?? null,
      ...(options.appsDir === undefined ? {} : {appsDir: resolve(options.appsDir)}),
      ...(options.images === undefined ? {} : {images: options.images}),
    };
    const daemon = await startDaemon([process.execPath, ...nodeOptions, script, JSON.stringify(settings)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {...tunables, ...process.env},
      stopTimeoutMs,
    });
    const pager = new PagerProcess(daemon, options);
    const secrets: PagerSecrets = {encryptionKeys: (options.encryptionKeys ?? []).map((key) => Buffer.from(key).toString('hex'))};
    daemon.child.send(secrets, () => undefined); // One that ends at once has not read it, and says why.
    try {
      await pager.#started();
      return pager;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(daemon: Daemon, options: PagerOptions) {
    this.#daemon = daemon;
    this.#options = options;
    daemon.child.on('message', (message) => this.#receive(message as PagerMessage));
    daemon.child.on('error', (error) => options.log.warn({error: errorMessage(error)}, 'the channel to the pager'));
    void daemon.exited.then(({stderr, exitCode, signal}) => {
      const found = signal ?? `exit status ${exitCode ?? 0}`;
      const said = stderr.trim();
      this.#ready.reject(new CodedError('ERR_PAGER_START', `Cannot start the pager: ${found}${said === '' ? '' : `: ${said}`}`, {source: 'host'}));
      for (const waiter of this.#waiting.values()) waiter.reject(died());
      this.#waiting.clear();
    });
  }

  async #started(): Promise<void> {
    const timer = setTimeout(() => {
      this.#ready.reject(new CodedError('ERR_PAGER_START', `Cannot start the pager: not ready after ${startTimeoutMs} ms`, {source: 'host'}));
    }, startTimeoutMs);
    try {
      await this.#ready.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  get child(): Daemon['child'] {
    return this.#daemon.child;
  }

  get pid(): number {
    // The program that makes it die with us has become it.
    return this.#daemon.pid;
  }

  get exited(): Daemon['exited'] {
    return this.#daemon.exited;
  }

  async call(method: PagerMethod, argument: unknown): Promise<unknown> {
    if (!this.child.connected) throw died();
    const id = this.#nextId++;
    const waiter = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiter);
    const request: PagerRequest = {id, method, argument};
    this.child.send(request);
    return waiter.promise;
  }

  #receive(message: PagerMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#ready.resolve();
        return;
      case 'unable':
        this.#ready.reject(remote(message.error));
        return;
      case 'result':
        this.#waiting.get(message.id)?.resolve(message.value);
        this.#waiting.delete(message.id);
        return;
      case 'error':
        this.#waiting.get(message.id)?.reject(remote(message.error));
        this.#waiting.delete(message.id);
        return;
      case 'lost':
        this.#options.onInstanceLost(message.instance, message.reason, message.damaged);
        return;
      case 'placement':
        this.#options.onPlacement?.(message.app, message.placement);
        return;
      case 'tier':
        this.#options.onTierEvent?.(message.app, message.event, message.message);
        return;
      case 'log':
        this.#options.log[message.level]({...message.fields, part: 'pager'}, message.message);
        return;
      default:
        message satisfies never;
    }
  }

  async stop(how: 'put away' | 'leave'): Promise<void> {
    if (how === 'put away') {
      await this.call('stop', null).catch(() => {
        // It has ended in another way, which is as good.
      });
    }
    await this.#daemon[Symbol.asyncDispose]();
  }
}

/**
 * Starts the pager and waits until it serves.
 * @throws CodedError when it cannot start; later deaths are answered with a restart
 */
export async function startPager(options: PagerOptions): Promise<Pager> {
  const supervisor = new PagerSupervisor(options, await PagerProcess.start(options));
  const call = async <M extends PagerMethod>(method: M, argument: Parameters<PagerService[M]>[0]): Promise<Awaited<ReturnType<PagerService[M]>>> =>
    (await supervisor.call(method, argument)) as Awaited<ReturnType<PagerService[M]>>;
  return {
    get pid() {
      return supervisor.pid;
    },
    prepareRestore: async (request) => call('prepareRestore', request),
    expect: async (instance, trigger) => call('expect', {instance, trigger}),
    commit: async (request) => call('commit', request),
    mountImage: async (request) => call('mountImage', request),
    purge: async (app) => call('purge', {app}),
    discard: async (app, generation) => call('discard', {app, generation}),
    stats: async (instance) => call('stats', {instance}),
    release: async (instance) => call('release', {instance}),
    predicted: async (app) => call('predicted', {app}),
    memory: async (app) => call('memory', {app}),
    generations: async (app) => call('generations', {app}),
    latest: async (app) => call('latest', {app}),
    meta: async (app, generation) => call('meta', {app, generation}),
    compactionDue: async (app, generation) => call('compactionDue', {app, generation}),
    compact: async (request) => call('compact', request),
    stopCompacting: async (app) => call('stopCompacting', {app}),
    discardCopies: async (app, generation) => call('discardCopies', {app, generation}),
    keep: async (app) => call('keep', {app}),
    prune: async (app, keep) => call('prune', {app, keep}),
    survey: async (apps) => call('survey', {apps}),
    checkStore: async () => call('checkStore', null),
    status: async () => call('status', null),
    storedBytes: async (app) => call('storedBytes', {app}),
    placement: async (app) => call('placement', {app}),
    shareCache: async (layerBytes, dropped) => call('shareCache', {layerBytes, dropped}),
    finishUpload: async (app) => call('finishUpload', {app}),
    dropLocal: async (app) => call('dropLocal', {app}),
    refresh: async (app) => call('refresh', {app}),
    foresee: async (app) => call('foresee', {app}),
    fetchLayers: async (app, layers) => call('fetchLayers', {app, layers}),
    leave: async () => supervisor.stop('leave'),
    [Symbol.asyncDispose]: async () => supervisor.stop('put away'),
  };
}

/** Keeps one pager process running. */
class PagerSupervisor {
  readonly #options: PagerOptions;
  #current: Promise<PagerProcess>;
  #pid: number;
  #stopping = false;
  #stopped: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(options: PagerOptions, first: PagerProcess) {
    this.#options = options;
    this.#pid = first.pid;
    this.#current = Promise.resolve(first);
    this.#watch(first, restartDelayMs.first);
  }

  get pid(): number {
    return this.#pid;
  }

  /** During a restart, waits for its end. A call that was under way when the process died is not repeated. */
  async call(method: PagerMethod, argument: unknown): Promise<unknown> {
    return (await this.#current).call(method, argument);
  }

  #watch(pager: PagerProcess, delayMs: number): void {
    const started = performance.now();
    void pager.exited.then(({exitCode, signal, stderr}) => {
      if (this.#stopping) return;
      this.#options.log.error({exitCode, signal, stderr: stderr.slice(-2000)}, 'the pager ended; faults wait until another one has taken over');
      this.#current = this.#restart(performance.now() - started > steadyMs ? restartDelayMs.first : delayMs);
      this.#current.catch(() => {
        // Only a stop ends the attempts; who calls meanwhile is told.
      });
    });
  }

  async #restart(firstDelayMs: number): Promise<PagerProcess> {
    for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, restartDelayMs.limit)) {
      await this.#pause(delayMs);
      if (this.#stopping) throw died();
      try {
        const pager = await PagerProcess.start(this.#options);
        this.#pid = pager.pid;
        this.#watch(pager, Math.min(delayMs * 2, restartDelayMs.limit));
        this.#options.log.info({pid: pager.pid}, 'another pager has taken over');
        this.#options.onRestarted?.();
        return pager;
      } catch (error) {
        this.#options.log.error({error: errorMessage(error)}, 'the pager cannot be started; it is tried again');
      }
    }
  }

  async #pause(delayMs: number): Promise<void> {
    await new Promise<void>((done) => {
      const timer = setTimeout(done, delayMs);
      this.#stop.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer);
          done();
        },
        {once: true},
      );
    });
  }

  stop(how: 'put away' | 'leave'): Promise<void> {
    this.#stopped ??= this.#stopOnce(how);
    return this.#stopped;
  }

  async #stopOnce(how: 'put away' | 'leave'): Promise<void> {
    this.#stopping = true;
    this.#stop.abort();
    const pager = await this.#current.catch(() => undefined);
    await pager?.stop(how);
  }
}
