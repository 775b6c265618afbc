/** Who meters what apps use, and where it looks. */
import {hostname} from 'node:os';
import {join} from 'node:path';
import type {Config} from '../config/value.ts';
import {systemClock} from '../core/clock.ts';
import {appName, gatewayIdentity} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Pager} from '../pager/client.ts';
import type {Connection} from '../store/connection.ts';
import {openUsage} from '../store/usage.ts';
import {layerBytes} from '../supervisor/layer-bytes.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {UsageMeter} from '../supervisor/usage-meter.ts';

export interface MeteringParts {
  readonly connection: Connection;
  /** Those that are going to be opened. */
  readonly pager: Promise<Pick<Pager, 'storedBytes'>>;
  readonly supervisor: Promise<Supervisor>;
  readonly log: Log;
}

/** The caller disposes it after the supervisor, and before the pager and the connection. */
export function meterUsage({global: {stateDir, store}}: Config, {connection, pager, supervisor, log}: MeteringParts): UsageMeter {
  const meter = new UsageMeter({
    worker: `${hostname()}/${gatewayIdentity(stateDir)}`,
    usage: openUsage(connection),
    memoryBytes: async (app) => (await supervisor).app(app).wakefulness.memoryBytes(),
    async storedBytes(app) {
      const objects = await (await pager).storedBytes(app);
      // With a remote store, files of apps are objects too.
      return store.kind === 's3' ? objects : objects + (await layerBytes(join(stateDir, 'apps', app, 'layers')));
    },
    clock: systemClock,
    log,
  });
  void supervisor.then((apps) => {
    apps.onAwakeChange((app, awake) => meter.awakeChanged(app, awake));
    // Those that were taken over.
    for (const app of [...apps.names()].map(appName)) if (apps.awakeAddress(app) !== null) meter.awakeChanged(app, true);
  });
  return meter;
}
