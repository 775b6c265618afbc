/**
 * Keeps the devices of the mounts of images open beyond our death: a FUSE mount ends for good when its last descriptor is closed. The technique
 * is that of parking.ts; programs that read meanwhile just wait.
 */
import {join} from 'node:path';
import {close} from '../../core/libc.ts';
import {descriptorsOf, findKeepers, type Keeper, keeperRuns, type Parked, ParkingLot, startKeeper, stopKeeper} from '../faults/parking.ts';

/** How keepers of devices are told from those of page faults, which may only be ended when no process depends on them. */
function keeperName(runtimeDir: string): string {
  return join(runtimeDir, 'rootfs');
}

export class DeviceKeeper implements Disposable {
  readonly #runtimeDir: string;
  #keeper: Keeper;
  #lot: ParkingLot;
  readonly #devices = new Map<number, number>();

  private constructor(runtimeDir: string, keeper: Keeper, lot: ParkingLot) {
    this.#runtimeDir = runtimeDir;
    this.#keeper = keeper;
    this.#lot = lot;
  }

  static start(runtimeDir: string): DeviceKeeper {
    const {keeper, ends} = startKeeper(keeperName(runtimeDir));
    return new DeviceKeeper(runtimeDir, keeper, new ParkingLot(ends));
  }

  /** Goes on with the keeper of a pager that was killed. @returns it with the devices by space, which are the caller's; undefined if it has ended */
  static takeOver(runtimeDir: string, keeper: Keeper): {readonly devices: ReadonlyMap<number, number>; readonly keeper: DeviceKeeper} | undefined {
    if (!keeperRuns(keeper)) return undefined;
    const lot = new ParkingLot(descriptorsOf(keeper));
    const devices = new Map(lot.list().map(({space, fd}) => [space, fd]));
    const taken = new DeviceKeeper(runtimeDir, keeper, lot);
    for (const [space, device] of devices) taken.#devices.set(space, device);
    return {devices, keeper: taken};
  }

  get record(): Keeper {
    return this.#keeper;
  }

  get runs(): boolean {
    return keeperRuns(this.#keeper);
  }

  /** @throws CodedError ERR_PARK */
  park(space: number, device: number): void {
    this.#lot.park({space, vpid: 0}, device);
    this.#devices.set(space, device);
  }

  /** To be called before the device is closed. */
  forget(space: number): void {
    this.#devices.delete(space);
    const parked = this.#lot.list();
    try {
      this.#lot.compact(parked.filter((one: Parked) => this.#devices.has(one.space)));
    } finally {
      for (const {fd} of parked) close(fd);
    }
  }

  /** Somebody has killed it: another one takes its place. */
  replace(): void {
    const {keeper, ends} = startKeeper(keeperName(this.#runtimeDir));
    this.#lot[Symbol.dispose]();
    this.#lot = new ParkingLot(ends);
    this.#keeper = keeper;
    for (const [space, device] of this.#devices) this.#lot.park({space, vpid: 0}, device);
  }

  /** Ends it, when the mounts are gone. */
  stop(): void {
    stopKeeper(this.#keeper);
  }

  [Symbol.dispose](): void {
    this.#lot[Symbol.dispose]();
  }
}

/** Ends the keepers of a gateway that was killed, but for one. */
export function stopDeviceKeepers(runtimeDir: string, except?: Keeper): void {
  for (const keeper of findKeepers(keeperName(runtimeDir))) if (keeper.pid !== except?.pid) stopKeeper(keeper);
}
