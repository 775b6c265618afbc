import type {ProcessConfig} from '../config/process-value.ts';
import type {Config} from '../config/value.ts';

const defaults: ProcessConfig = {
  statsSockets: [],
  statsTimeoutMs: 10_000,
  logs: [],
  logTag: 'picogate',
  logHostname: null,
  node: null,
  description: null,
  user: null,
  group: null,
  chroot: null,
  daemon: false,
  masterWorker: false,
  pidFile: null,
  threads: null,
  descriptorLimit: null,
  serverStateFile: null,
  hardStopAfterMs: null,
};

/** What the configuration says about the process itself; one without such a part has HAProxy's defaults. */
export function processConfig(config: Config & {readonly process?: ProcessConfig}): ProcessConfig {
  return config.process ?? defaults;
}
