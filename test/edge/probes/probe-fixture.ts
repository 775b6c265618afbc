/** An edge of a configuration text, in front of an app that sleeps and wakes as the test says: the app's listener is one of the test. */
import {join} from 'node:path';
import {checkFiles} from '../../../src/config/load.ts';
import {systemClock} from '../../../src/core/clock.ts';
import type {AppName} from '../../../src/core/ids.ts';
import {createLog} from '../../../src/core/log.ts';
import type {AppWatch, CheckPlace} from '../../../src/edge/app-access.ts';
import {type Edge, openEdge} from '../../../src/edge/edge.ts';
import {KnownAnswers} from '../../../src/edge/probes/known-answers.ts';
import {freePort} from '../../helpers/gateway.ts';
import {FakeApps} from '../edge-fixture.ts';

/** Any address of loopback but the usual one. */
export const checkSource = '127.80.71.87';

export class SleepyApp implements AppWatch {
  readonly apps = new FakeApps(true);
  wakeable = true;
  answered = 0;
  readonly #callbacks = new Set<(app: AppName, awake: boolean) => void>();
  #awake = false;

  onMoved(): () => void {
    return () => undefined;
  }

  get wakes(): number {
    return this.apps.triggers.length;
  }

  get listeners(): number {
    return this.#callbacks.size;
  }

  isAwake(): boolean {
    return this.#awake;
  }

  checkPlace(_app: AppName, port: number): CheckPlace | null {
    return this.#awake ? {host: '127.0.0.1', port, from: checkSource} : null;
  }

  isWakeable(): boolean {
    return this.wakeable;
  }

  checkAnswered(): void {
    this.answered++;
  }

  onChange(callback: (app: AppName, awake: boolean) => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  set(name: AppName, awake: boolean): void {
    this.#awake = awake;
    for (const callback of this.#callbacks) callback(name, awake);
  }
}

export interface ProbeEdge extends AsyncDisposable {
  readonly edge: Edge;
  readonly port: number;
  readonly app: SleepyApp;
}

interface ProbeEdgeOptions {
  /** What another edge knew of answers. */
  readonly known?: KnownAnswers;
  /** False: its listener is that of an ordinary server. */
  readonly hasApp?: boolean;
}

/** @param lines of a `listen` section whose only server is the app */
export async function probeEdge(appPort: number, lines: string, {known = new KnownAnswers(), hasApp = true}: ProbeEdgeOptions = {}): Promise<ProbeEdge> {
  const port = await freePort();
  const text = `app blog
    rootfs ${join(import.meta.dirname)}
    exec /server
    expose tcp ${appPort}
listen l
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    bind 127.0.0.1:${port}
${lines}
    server s ${hasApp ? 'app:blog' : '127.0.0.1'}:${appPort}
`;
  const {config, diagnostics} = checkFiles([{path: 'test.cfg', text}], {});
  if (config === null || diagnostics.length > 0) throw new Error(JSON.stringify(diagnostics));
  const app = new SleepyApp();
  const {frontends, backends} = config;
  const edge = await openEdge({frontends, backends, apps: app.apps, watch: app, knownAnswers: known, log: createLog('silent'), clock: systemClock});
  return {edge, port, app, [Symbol.asyncDispose]: () => edge[Symbol.asyncDispose]()};
}
