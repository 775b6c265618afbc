/** What is done for all apps of a worker without anybody asking: they are kept within its memory and its disk, and checkpoints are made of those that run. */
import {keptPath} from '../core/kept-path.ts';
import type {AppSet} from './app-set.ts';
import type {AwakeApps} from './awake-apps.ts';
import {LayerLimit} from './layer-limit.ts';
import {MemoryLimit} from './memory-limit.ts';
import {RegularCheckpoints} from './regular-checkpoints.ts';
import type {SupervisorOptions} from './supervisor-options.ts';

export function layersDirOf({stateDir}: Pick<SupervisorOptions, 'stateDir'>, app: string): string {
  return keptPath(stateDir, 'apps', app, 'layers');
}

export function layerLimit(options: SupervisorOptions, apps: AppSet): LayerLimit | undefined {
  const {cacheBytes} = options;
  return cacheBytes === null ? undefined : new LayerLimit({...options, apps, limitBytes: cacheBytes, layersDirOf: (app) => layersDirOf(options, app)});
}

export function memoryLimit(options: SupervisorOptions, apps: AppSet, awake: AwakeApps): MemoryLimit | undefined {
  if (options.memoryMarks === null) return undefined;
  const limit = new MemoryLimit({...options, apps, marks: options.memoryMarks, totalBytes: () => options.containers.memoryTotal()});
  awake.listen((_app, isAwake) => {
    if (isAwake) limit.woken();
  });
  return limit;
}

export function regularCheckpoints({clock, log, shared}: SupervisorOptions, apps: AppSet, awake: AwakeApps): RegularCheckpoints {
  const regular = new RegularCheckpoints({
    everyMs: (name) => apps.settings(name)?.checkpointEveryMs ?? null,
    checkpoint: async (name) => apps.find(name).hibernate({force: true, cause: 'checkpoint'}),
    wake: async (name) => (shared === null ? apps.find(name).wake({kind: 'checkpoint'}) : shared.reach(name, {kind: 'checkpoint'})),
    clock,
    log,
  });
  awake.listen((app, isAwake) => regular.awakeChanged(app, isAwake));
  return regular;
}
