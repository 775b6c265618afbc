/** What a gateway with many apps starts from: its configuration and state, which stay while it is stopped and started again. */
import {cp, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import {lineQuestion, timedAnswer} from '../client.ts';
import {appAt, renderConfiguration} from './scale-apps.ts';
import {type ScaleGateway, startScaleGateway} from './scale-gateway.ts';
import {commitCopies, keepDump} from './seed.ts';

export const question = lineQuestion('count');
const fixtures = fileURLToPath(new URL('../../test/fixtures', import.meta.url));

export interface ScaleApps {
  readonly count: number;
  /** Of the first apps, one each. */
  readonly ports: readonly number[];
  /** Default: `never`. */
  readonly hibernateAfter?: string;
}

/** The gateway must be disposed before. */
export interface ScaleHost extends AsyncDisposable {
  configure(apps: ScaleApps): Promise<void>;
  start(): Promise<ScaleGateway>;
  /** What CRIU writes of the first app meanwhile is kept. */
  keepDump(hibernating: Promise<void>): Promise<void>;
  /** Gives the other apps checkpoints of it. */
  commitCopies(count: number): Promise<void>;
}

export async function scaleHost(options: ScaleApps & {readonly signal: AbortSignal}): Promise<ScaleHost> {
  await using scope = new AsyncDisposableStack();
  const stateDir = await mkdtemp('/var/tmp/picogate-bench-');
  scope.defer(() => rm(stateDir, {recursive: true, force: true}));
  const programs = join(stateDir, 'programs');
  await cp(fixtures, programs, {recursive: true});
  const [python, frontendPort] = [await rootfsWith('python3'), await freePort()];
  const configure = ({count, ports, hibernateAfter = 'never'}: ScaleApps): Promise<void> =>
    writeFile(join(stateDir, 'picogate.cfg'), renderConfiguration({stateDir, python, programs, count, frontendPort, ports, hibernateAfter}));
  await configure(options);
  const owned = scope.move();
  return {
    configure,
    start: () => startScaleGateway(stateDir, options.signal),
    keepDump: (hibernating) => keepDump(stateDir, hibernating),
    commitCopies: (count) => commitCopies(stateDir, count, options.signal),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** All apps of the host have slept: one is run and put to sleep, and its checkpoint is given to all. Redis knows of no other. */
export async function hibernatedHost(signal: AbortSignal, apps: ScaleApps): Promise<ScaleHost> {
  await using scope = new AsyncDisposableStack();
  const port = await freePort();
  const host = scope.use(await scaleHost({count: 1, ports: [port], signal}));
  {
    await using gateway = await host.start();
    await timedAnswer(port, question);
    await host.keepDump(gateway.hibernate(appAt(0)));
  }
  await host.commitCopies(apps.count);
  await host.configure(apps);
  scope.move();
  return host;
}
