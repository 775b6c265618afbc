/** CRIU by itself, as its manual has it: `criu dump` once, then `criu restore` of the same images, whole or beside `criu lazy-pages`. */
import {existsSync, mkdirSync} from 'node:fs';
import {readFile, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {CommandError, run, startDaemon} from '../../src/core/command.ts';
import {withinNetns} from '../../src/core/netns.ts';
import {criuCommand} from '../../src/core/tools.ts';
import {until} from '../../test/helpers/until.ts';
import type {PeerContainer} from './peer-container.ts';

const timeoutMs = 180_000;
const daemonReadyMs = 10_000;
const logKept = 600;

/** As the gateway calls it: connections stay, control groups and the network are not CRIU's business. */
const common = ['--tcp-established', '--file-locks', '--ext-unix-sk', '--link-remap', '--manage-cgroups=ignore', '--network-lock', 'skip', '-v2'] as const;

export class StockCriu {
  readonly #container: PeerContainer;
  readonly #workDir: string;
  readonly imagesDir: string;

  /** @param directory is made, for images and logs */
  constructor(container: PeerContainer, directory: string) {
    this.#container = container;
    this.imagesDir = join(directory, 'images');
    this.#workDir = join(directory, 'work');
    for (const path of [directory, this.imagesDir, this.#workDir]) mkdirSync(path);
  }

  async #criu(verb: 'dump' | 'restore', args: readonly string[]): Promise<void> {
    const {netnsPath, rootDir} = this.#container;
    const log = join(this.#workDir, `${verb}.log`);
    const places = ['--images-dir', this.imagesDir, '--work-dir', this.#workDir, '--log-file', log, '--root', rootDir];
    try {
      // run() forks before it first awaits, so CRIU is born inside the namespace, and that is no part of the images.
      await withinNetns(netnsPath, () => run([...criuCommand(), verb, ...places, ...common, ...args], {timeoutMs}));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const said = (await readFile(log, 'utf8').catch(() => '')).slice(-logKept);
      throw new Error(`criu ${verb} failed: ${said}`, {cause: error});
    }
  }

  /** The processes of the container end with it. */
  async dump(): Promise<void> {
    const {pid, binds} = this.#container;
    if (pid === null) throw new Error('nothing runs that could be dumped');
    await this.#criu('dump', ['--tree', String(pid), ...binds.flatMap(({name, inside}) => ['--external', `mnt[${inside}]:${name}`])]);
    await this.#container.end();
  }

  /** Resolves when CRIU says that the container runs. */
  async restore({lazy}: {readonly lazy: boolean}): Promise<void> {
    const pidFile = join(this.#workDir, 'pid');
    await rm(pidFile, {force: true});
    const binds = this.#container.binds.flatMap(({name, outside}) => ['--external', `mnt[${name}]:${outside}`]);
    await this.#criu('restore', ['--restore-detached', '--pidfile', pidFile, ...binds, ...(lazy ? ['--lazy-pages'] : [])]);
    this.#container.pid = Number(await readFile(pidFile, 'utf8'));
  }

  /** Starts `criu lazy-pages` and resolves when it waits for a restore. The caller disposes it when the container has ended. */
  async serveLazily(): Promise<AsyncDisposable> {
    const socket = join(this.#workDir, 'lazy-pages.socket');
    await rm(socket, {force: true});
    const places = ['--images-dir', this.imagesDir, '--work-dir', this.#workDir, '--log-file', join(this.#workDir, 'lazy-pages.log')];
    const daemon = await startDaemon([...criuCommand(), 'lazy-pages', ...places, '-v2'], {stdio: ['ignore', 'ignore', 'ignore'], stopTimeoutMs: 2000});
    try {
      await until(async () => existsSync(socket), {timeoutMs: daemonReadyMs, what: 'criu lazy-pages to listen'});
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }
}
