/** What the pager's methods work with. */
import type {AppName, InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {ObjectStore} from '../store/object-store.ts';
import type {CheckpointStore} from './checkpoints/checkpoint-store.ts';
import type {FaultClient} from './faults/fault-client.ts';
import type {KeeperPool} from './faults/keeper-pool.ts';
import type {Fuse} from './fuse/fuse.ts';
import type {RootfsImages} from './images/rootfs-images.ts';
import type {EndedInstances} from './paging-totals.ts';
import type {PredictedSets} from './prediction/predicted-set.ts';
import type {Tiering} from './remote/tiering.ts';
import type {RuntimeFiles} from './runtime-files.ts';
import type {ServedInstances} from './served-instances.ts';

export interface Parts {
  readonly objects: ObjectStore;
  /** Null without a remote store. */
  readonly tiering: Tiering | null;
  readonly store: CheckpointStore;
  readonly predicted: PredictedSets;
  /** On a disk: where the pages of wakes that are prepared are laid out. */
  readonly readyDir: string;
  readonly log: Log;
  readonly files: RuntimeFiles;
  readonly fuse: Fuse;
  readonly faults: FaultClient;
  readonly keepers: KeeperPool;
  readonly images: RootfsImages;
  readonly served: ServedInstances;
  readonly ended: EndedInstances;
  /** Of apps whose newest generation is not certain to stay: the instance it was made of, null for one that was started. */
  readonly unsettled: Map<AppName, InstanceId | null>;
}
