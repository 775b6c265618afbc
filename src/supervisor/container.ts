/**
 * The runtime of one app on this worker: root, devices, control groups and processes. runc starts an app for the first
 * time; later CRIU restores it into what mountRoot() has prepared. The container outlives the app's processes: it is
 * there while the app sleeps. Of one that was not needed yet nothing is on the host.
 */
import {existsSync, mkdirSync} from 'node:fs';
import {open, readdir, rm} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import {assert, CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {syncFileSystem} from '../core/file-metadata.ts';
import {reap} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import {type AppLog, appLogTail, openAppLog, readAppLog} from './app-log.ts';
import type {Cgroup} from './cgroup.ts';
import type {RestoreTarget} from './criu-calls.ts';
import {createDeviceFiles} from './device-files.ts';
import {describeExit, type ExitStatus, exitStatus} from './exit-status.ts';
import type {GuestCommand, GuestCommands} from './guest-commands.ts';
import {expectProgram, expectUser, imageSettings, type MountedImage, type MountImage, type RootImage, startSettings} from './image-settings.ts';
import {innerPid} from './inner-pid.ts';
import {unmountAside} from './mounts.ts';
import {guestSpec, ociSpec, type Person} from './oci-spec.ts';
import {mountOverlay} from './overlay.ts';
import {hostnameOf, personOf} from './person.ts';
import {completeRoot} from './rootfs-files.ts';
import {runcStart} from './runc.ts';
import type {StandardFiles} from './standard-files.ts';

/** How long a started program is watched before start() resolves: one that cannot even be executed ends within that time. */
const startGraceMs = 50;
const reapTimeoutMs = 2000;
const reapPollMs = 1;

export interface ContainerOptions {
  readonly app: AppConfig;
  readonly netnsPath: string;
  readonly cgroup: Cgroup;
  /** On our tmpfs, private to this app: device files, FIFO, mount point of the root. */
  readonly directory: string;
  /** runc's directory of records. */
  readonly runcRoot: string;
  /** `<stateDir>/apps/<name>` */
  readonly appDir: string;
  readonly mountImage: MountImage;
  readonly guests: GuestCommands;
  readonly log: Log;
}

type ExitCallback = (how: ExitStatus) => void;

export class Container implements AsyncDisposable {
  readonly #options: ContainerOptions;
  /** Commands of operators beside the app's processes. */
  readonly guests: GuestCommands;
  #exitCallbacks: readonly ExitCallback[] = [];
  #preparing: Promise<AppLog> | undefined;
  /** Undefined before `prepare()`. */
  #output: AppLog | undefined;
  #mounted = false;
  #unmounting: Promise<void> | undefined;
  /** The root, when it is an image. */
  #image: MountedImage | undefined;
  #imageStays = false;
  #initPid: number | undefined;
  readonly #waiting = new Set<number>();
  #stopWatching: (() => void) | undefined;

  constructor(options: ContainerOptions) {
    this.#options = options;
    this.guests = options.guests;
  }

  get #paths(): {readonly rootDir: string; readonly deviceDir: string; readonly logFile: string} {
    const {directory, appDir} = this.#options;
    return {rootDir: join(directory, 'root'), deviceDir: join(directory, 'dev'), logFile: join(appDir, 'log')};
  }

  /** Makes what stays until the app is not configured any more, if it is not there. Needed before `restoreTarget()`. @throws CodedError ERR_CGROUP */
  async prepare(): Promise<void> {
    this.#preparing ??= this.#prepare().catch(async (error: unknown) => {
      await rm(this.#options.directory, {recursive: true, force: true});
      this.#preparing = undefined;
      throw error;
    });
    await this.#preparing;
  }

  /**
   * Goes on with the processes that a gateway which was killed has left, in the root that it had mounted. Instead of `prepare()`.
   * @param image that the app has as root
   * @returns the host's pid of its first process. @throws CodedError ERR_NOT_RUNNING
   */
  async takeOver(image: RootImage | undefined): Promise<{pid: number}> {
    this.#mounted = true;
    this.#preparing = this.#open();
    await this.#preparing;
    if (image !== undefined) await this.#rootDirectory(image);
    const first = this.processes().find(({vpid}) => vpid === 1);
    if (first === undefined) {
      throw new CodedError('ERR_NOT_RUNNING', `Cannot take over app "${this.#options.app.name}": its first process has ended`, {source: 'server'});
    }
    this.adopt(first.pid);
    return first;
  }

  async #prepare(): Promise<AppLog> {
    const {directory} = this.#options;
    mkdirSync(directory, {mode: 0o700});
    mkdirSync(this.#paths.rootDir, {mode: 0o755});
    mkdirSync(join(directory, 'bundle'), {mode: 0o700});
    createDeviceFiles(this.#paths.deviceDir);
    return this.#open();
  }

  async #open(): Promise<AppLog> {
    const {app, cgroup, directory, log} = this.#options;
    const output = await openAppLog({fifo: join(directory, 'output'), file: this.#paths.logFile, limitBytes: app.logBytes, log: log.child({app: app.name})});
    try {
      cgroup.create();
    } catch (error) {
      await output[Symbol.asyncDispose]();
      throw error;
    }
    this.#output = output;
    return output;
  }

  get layersDir(): string {
    return join(this.#options.appDir, 'layers');
  }

  /**
   * Mounts the root with `newLayer` on top of `layers` (oldest first) and starts the program in it.
   * @returns the host's pid of its first process
   * @throws CodedError ERR_START with what runc or the program said, when it does not exist or ends at once; nothing of it is left then
   */
  async start(layers: readonly string[], newLayer: string): Promise<{pid: number}> {
    const {app, cgroup} = this.#options;
    await this.#mount(layers, newLayer);
    try {
      cgroup.limit(app);
      await completeRoot(this.#paths.rootDir, hostnameOf(app));
      const person = await this.#person(null);
      expectProgram(app, person.start);
      const pid = await runcStart({
        stateRoot: this.#options.runcRoot,
        bundle: join(this.#options.directory, 'bundle'),
        id: `picogate-${cgroup.path.replace(/[^A-Za-z0-9_.-]/g, '+')}`,
        spec: ociSpec({
          ...person,
          rootDir: this.#paths.rootDir,
          deviceDir: this.#paths.deviceDir,
          netnsPath: this.#options.netnsPath,
          cgroupPath: cgroup.path,
        }),
        standardFiles: this.#standardFiles(),
        created: async (created) => {
          await cgroup.enter(created);
          await cgroup.leaveUnused(created);
        },
      });
      await this.#survivesStart(pid, person.start.exec);
      return {pid};
    } catch (error) {
      await this.#undoStart();
      throw new CodedError(errorCode(error) ?? 'ERR_START', `Cannot start app "${app.name}": ${errorMessage(error)}`, {source: 'server', cause: error});
    }
  }

  /** @param user null: that of the app */
  #person(user: string | null): Promise<Person> {
    const {app} = this.#options;
    const start = startSettings(app, this.#image?.config);
    return personOf({app, start: user === null ? start : {...start, user}, rootDir: this.#paths.rootDir});
  }

  /** What runc needs to run a command beside the app's processes, which must be there. @throws CodedError ERR_NO_USER */
  async guestSpec({user, ...command}: GuestCommand, cgroupPath: string): Promise<object> {
    const {app} = this.#options;
    const [pid] = this.pids();
    expectUser(app, {image: this.#image?.config, user});
    assert(pid !== undefined, `A command is to join app "${app.name}", which does not run`);
    return guestSpec({...(await this.#person(user)), ...command, rootDir: this.#paths.rootDir, pid, cgroupPath});
  }

  #standardFiles(): StandardFiles {
    assert(this.#output !== undefined, `The container of app "${this.#options.app.name}" is to be used and was not prepared`);
    return {input: join(this.#paths.deviceDir, 'null'), output: this.#output.fifo};
  }

  async #survivesStart(pid: number, exec: readonly string[]): Promise<void> {
    let stop: (() => void) | undefined;
    const ended = new Promise<ExitStatus | undefined>((resolve) => {
      stop = this.onExit(resolve);
      setTimeout(resolve, startGraceMs, undefined);
    });
    this.adopt(pid);
    const how = await ended;
    stop?.();
    if (how === undefined) return;
    await this.#output?.flush();
    const tail = this.logTail();
    throw new CodedError('ERR_START', `"${exec.join(' ')}" ${describeExit(how)} at once${tail === '' ? '' : `; its last output: ${tail}`}`, {
      source: 'server',
    });
  }

  async #undoStart(): Promise<void> {
    try {
      await this.kill();
      await this.unmountRoot();
    } catch (error) {
      this.#options.log.error({app: this.#options.app.name, error: errorMessage(error)}, 'a failed start has left something behind');
    }
  }

  /** Mounts the root for CRIU to restore into. The caller unmounts it when the restore fails. @param image that the app had as root */
  async mountRoot(layers: readonly string[], newLayer: string, image?: RootImage): Promise<RestoreTarget> {
    await this.#mount(layers, newLayer, image);
    return this.restoreTarget();
  }

  async #mount(layers: readonly string[], newLayer: string, image?: RootImage): Promise<void> {
    if (this.#mounted) throw new CodedError('ERR_ASSERTION', `The root of app "${this.#options.app.name}" is mounted already`, {source: 'bug'});
    // Whoever wanted that is told when it fails.
    await Promise.all([this.prepare(), this.#unmounting?.catch(() => undefined)]);
    mkdirSync(this.layersDir, {recursive: true, mode: 0o700});
    const rootfs = await this.#rootDirectory(image);
    mountOverlay({rootfs, layersDir: this.layersDir, layers, newLayer}, this.#paths.rootDir);
    this.#mounted = true;
  }

  /** The image may have been unmounted: it is asked for again when the root is mounted next. */
  forgetImage(): void {
    this.#imageStays = false;
  }

  /** The image that is the root, or was when it was mounted last. */
  get rootImage(): RootImage | undefined {
    return this.#image && {digest: this.#image.digest, settings: this.#image.config};
  }

  async #rootDirectory(image: RootImage | undefined): Promise<string> {
    const {app, mountImage} = this.#options;
    if (app.root.kind === 'directory') return app.root.path;
    // A program that is started gets the newest; one that was asleep gets what it had. That stays mounted, so nobody is asked on the way of a wake.
    if (image === undefined || this.#image?.digest !== image.digest || !this.#imageStays) {
      // Before the answer: what is unmounted while we wait is to be asked for again.
      this.#imageStays = true;
      try {
        const mounted = await mountImage({app: app.name, name: app.root.name, digest: image?.digest ?? null});
        this.#image = {...mounted, config: image === undefined ? imageSettings(mounted) : image.settings};
      } catch (error) {
        this.#imageStays = false;
        throw error;
      }
    }
    return this.#image.path;
  }

  /** What CRIU must know of this container, for a checkpoint as for a restore. */
  restoreTarget(): RestoreTarget {
    const {app, cgroup, netnsPath} = this.#options;
    return {
      name: app.name,
      rootDir: this.#paths.rootDir,
      containersDir: dirname(this.#options.directory),
      netnsPath,
      bindMounts: [
        {name: 'dev', inside: '/dev', outside: this.#paths.deviceDir},
        ...app.volumes.map(({source, destination}, index) => ({name: `volume${index}`, inside: destination, outside: source})),
      ],
      standardFiles: this.#standardFiles(),
      enter: async (pid) => cgroup.admit(pid, app),
      left: (pid) => cgroup.left(pid, app),
      waiting: this.#waiting,
      pids: () => this.pids(),
      killAll: () => cgroup.kill(),
    };
  }

  /** From now on `pid` is the app's first process, and its end is watched. For what CRIU has restored. */
  adopt(pid: number): void {
    this.#stopWatching?.();
    this.#initPid = pid;
    this.#options.cgroup.limit(this.#options.app);
    this.#stopWatching = this.#options.cgroup.whenEmpty(() => void this.#ended());
  }

  /** All are out of the control groups; the first process may still be on its way out. */
  async #ended(): Promise<void> {
    this.#stopWatching?.();
    const pid = this.#initPid;
    if (pid === undefined) return;
    this.#initPid = undefined;
    let status = reap(pid);
    for (const deadlineMs = performance.now() + reapTimeoutMs; status === undefined && performance.now() < deadlineMs; status = reap(pid)) {
      await new Promise((resolve) => setTimeout(resolve, reapPollMs));
    }
    const how = exitStatus(status);
    for (const callback of this.#exitCallbacks) callback(how);
  }

  /** Calls back each time the app has lost its last process, by itself or because it was killed or put to sleep. */
  onExit(callback: ExitCallback): () => void {
    this.#exitCallbacks = [...this.#exitCallbacks, callback];
    return () => {
      this.#exitCallbacks = this.#exitCallbacks.filter((other) => other !== callback);
    };
  }

  /** Not counting a CRIU that works in the app's control groups or waits there, and its task. */
  pids(): readonly number[] {
    return this.processes().map(({pid}) => pid);
  }

  alive(): boolean {
    return this.pids().length > 0;
  }

  /** The processes with their numbers here and in the container. */
  processes(): {vpid: number; pid: number}[] {
    return this.#options.cgroup.pids().flatMap((pid) => {
      const vpid = this.#waiting.has(pid) ? undefined : innerPid(pid);
      return vpid === undefined ? [] : [{vpid, pid}];
    });
  }

  /** Ends every process, waits until none is left. Harmless when none runs. @throws CodedError ERR_CGROUP_BUSY */
  async kill(): Promise<void> {
    await this.#options.cgroup.kill();
    await this.#ended(); // A restored or started process is a child of ours as soon as its maker has ended (see openContainers).
  }

  /** Processor time that was used in the app's control groups, microseconds; null when it is not known. */
  cpuUsedUs(): number | null {
    return this.#options.cgroup.cpuUsedUs();
  }

  /** What the app takes of memory, without files that could be read again; null when it is not known. */
  memoryBytes(): number | null {
    return this.#options.cgroup.memoryBytes();
  }

  /** Takes the root away; the app's processes must be gone. */
  async unmountRoot(): Promise<void> {
    if (this.#mounted) this.#unmounting = unmountAside(this.#paths.rootDir);
    this.#mounted = false;
    await this.#unmounting;
  }

  /** Those of these layers that are not on this worker. On the way of a wake, and quicker than through a thread. */
  missingLayers(layers: readonly string[]): string[] {
    return layers.filter((layer) => !existsSync(join(this.layersDir, layer, 'upper')));
  }

  /** Brings what the app has written to its files to disk. */
  async syncLayers(): Promise<void> {
    await using directory = await open(this.layersDir);
    await syncFileSystem(directory.fd);
  }

  /** Whether anything was written to the layer. To be asked when the app is frozen or gone. */
  async freezeLayer(layer: string): Promise<'empty' | 'changed'> {
    return (await readdir(join(this.layersDir, layer, 'upper'))).length === 0 ? 'empty' : 'changed';
  }

  /** Those of these layers to which anything was written: the others need not be kept. To be asked when the app is frozen or gone. */
  async usedLayers(layers: readonly string[]): Promise<string[]> {
    const used = await Promise.all(layers.map((layer) => this.freezeLayer(layer)));
    return layers.filter((_layer, index) => used[index] === 'changed');
  }

  /** All that is kept of what the app printed. */
  async output(): Promise<string> {
    await this.#output?.flush();
    return readAppLog(this.#paths.logFile);
  }

  /** The end of what the app printed. */
  logTail(maxBytes?: number): string {
    return appLogTail(this.#paths.logFile, maxBytes);
  }

  /** Kills what runs and takes everything away but layers and log. */
  async [Symbol.asyncDispose](): Promise<void> {
    const output = await this.#preparing?.catch(() => undefined); // Nothing is there then.
    if (output === undefined) return;
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => rm(this.#options.directory, {recursive: true, force: true}));
    cleanup.defer(() => this.#options.cgroup.remove());
    cleanup.defer(() => this.guests.remove());
    cleanup.use(output);
    cleanup.defer(() => this.unmountRoot());
    cleanup.defer(() => this.kill());
    cleanup.defer(() => this.guests.kill());
  }
}
