/** Frontends as the runtime API sees them. Those of mode nat are the kernel's: it has no counters for them that belong here. */
import type {FrontendControl} from '../admin/gateway-control.ts';
import {noTraffic} from '../admin/traffic-stats.ts';
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Admission} from '../edge/admission.ts';
import type {Frontend} from '../edge/frontend.ts';
import {refuseChange} from './runtime-refusal.ts';
import {frontendTraffic} from './runtime-traffic.ts';
import {sumTraffic} from './threads/sum-traffic.ts';
import type {Change} from './threads/thread-messages.ts';
import type {ThreadedGeneration} from './threads/threaded-generation.ts';

export interface FrontendFacts {
  readonly config: FrontendConfig;
  readonly id: number;
  /** Null: it is not open. */
  readonly frontend: Frontend | null;
  /** Clock.monotonicMs */
  readonly nowMs: number;
  /** Other threads have it, too. */
  readonly threaded: ThreadedGeneration;
}

export function frontendControl({config, id, frontend, nowMs, threaded}: FrontendFacts): FrontendControl {
  const {name, mode, maxconn, sessionRateLimit, disabled} = config;
  const admission = frontend?.admission ?? null;
  const admissionFor = (what: string): Admission => admission ?? refuseChange(`${what} frontend "${name}" of mode ${mode}`);
  const elsewhere = threaded.maxconnOf(name) === null ? [] : threaded.snapshots().flatMap(({frontends}) => frontends.filter((one) => one.name === name));
  const tell = (to: Extract<Change, {readonly what: 'frontend'}>['to']): void => threaded.tell({what: 'frontend', frontend: name, to});
  const state = admission?.state ?? (disabled ? 'stopped' : 'open');
  return {
    name,
    id,
    mode,
    // One thread that has room is enough.
    state: state === 'full' && elsewhere.some((thread) => thread.state === 'open') ? 'open' : state,
    maxconn: threaded.maxconnOf(name) ?? admission?.maxconn ?? maxconn,
    sessionRateLimit: sessionRateLimit ?? 0,
    stats:
      frontend === null
        ? noTraffic
        : sumTraffic(
            frontendTraffic(frontend.counters, nowMs),
            elsewhere.map(({stats}) => stats),
          ),
    listeners: (frontend?.listeners ?? []).map(({counters, number, ...listener}) => ({
      ...listener,
      maxconn: config.binds[number - 1]?.maxconn ?? 0,
      id: number,
      stats: sumTraffic(
        frontendTraffic(counters, nowMs),
        elsewhere.flatMap(({listeners}) => listeners.get(number) ?? []),
      ),
    })),
    async pause() {
      admissionFor('disable').pause();
      tell('paused');
    },
    async resume() {
      admissionFor('enable').resume();
      tell('resumed');
    },
    shutdown() {
      admissionFor('shut down').stop();
      tell('stopped');
    },
    setMaxconn: (value) => admissionFor('change maxconn of').setMaxconn(threaded.setMaxconn(name, value)),
  };
}
