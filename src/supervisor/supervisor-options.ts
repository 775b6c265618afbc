/** What a supervisor needs of the rest of a gateway. */
import type {MemoryMarks} from '../config/memory-marks.ts';
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Events} from '../store/events.ts';
import type {Leases} from '../store/lease.ts';
import type {State as Store} from '../store/state.ts';
import type {Containers} from './containers.ts';
import type {CheckpointDriver} from './criu.ts';
import type {Network} from './instance.ts';
import type {RecordWatchOptions} from './record-watch.ts';
import type {GenerationStore} from './recover.ts';
import type {SharedApps} from './recover-shared.ts';
import type {RunningInstances} from './running-instances.ts';

export interface SupervisorOptions {
  /** The name of this worker. */
  readonly worker: string;
  /** How long a worker may be silent before another one may take its apps. */
  readonly leaseMs: number;
  /** Null: this is the only worker. */
  readonly shared: SharedApps | null;
  /** A client of the app waits for an answer at another process' edge. @throws CodedError */
  readonly isBusyElsewhere: (app: AppName) => Promise<boolean>;
  readonly apps: readonly AppConfig[];
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly keepGenerations: number;
  readonly stopTimeoutMs: number;
  /** Null: apps may use what memory there is. */
  readonly memoryMarks: MemoryMarks | null;
  /** What layers and local copies of objects may take together; null without a remote store, when layers are nowhere else. */
  readonly cacheBytes: number | null;
  readonly store: Store;
  readonly leases: Leases;
  readonly events: Events;
  readonly pager: GenerationStore;
  readonly containers: Containers;
  readonly running: RunningInstances;
  readonly criu: CheckpointDriver;
  readonly addNetwork: (app: AppConfig, index: number) => Network;
  /** For an app that is closed before the supervisor is. */
  readonly removeNetwork: (app: string) => Promise<void>;
  /** Calls back when Redis was lost and is back. */
  readonly onRedisBack: RecordWatchOptions['onRedisBack'];
  /** The index that gives this address; undefined for one that no app can have here. */
  readonly indexOf: (address: string) => number | undefined;
  /** What is stored of an app may be another amount. */
  readonly onTidied: (app: AppName) => void;
  readonly clock: Clock;
  readonly log: Log;
}
