/** Frontends as the runtime API sees them. Those of mode nat are the kernel's: it has no counters for them that belong here. */
import type {FrontendControl} from '../admin/gateway-control.ts';
import {noTraffic} from '../admin/traffic-stats.ts';
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Admission} from '../edge/admission.ts';
import type {Frontend} from '../edge/frontend.ts';
import {refuseChange} from './runtime-refusal.ts';
import {frontendTraffic} from './runtime-traffic.ts';

export interface FrontendFacts {
  readonly config: FrontendConfig;
  readonly id: number;
  /** Null: it is not open. */
  readonly frontend: Frontend | null;
  /** Clock.monotonicMs */
  readonly nowMs: number;
}

export function frontendControl({config, id, frontend, nowMs}: FrontendFacts): FrontendControl {
  const {name, mode, maxconn, sessionRateLimit, disabled} = config;
  const admission = frontend?.admission ?? null;
  const admissionFor = (what: string): Admission => admission ?? refuseChange(`${what} frontend "${name}" of mode ${mode}`);
  return {
    name,
    id,
    mode,
    state: admission?.state ?? (disabled ? 'stopped' : 'open'),
    maxconn: admission?.maxconn ?? maxconn,
    sessionRateLimit: sessionRateLimit ?? 0,
    stats: frontend === null ? noTraffic : frontendTraffic(frontend.counters, nowMs),
    listeners: (frontend?.listeners ?? []).map(({counters, number, ...listener}) => ({...listener, id: number, stats: frontendTraffic(counters, nowMs)})),
    async pause() {
      admissionFor('disable').pause();
    },
    async resume() {
      admissionFor('enable').resume();
    },
    shutdown: () => admissionFor('shut down').stop(),
    setMaxconn: (value) => admissionFor('change maxconn of').setMaxconn(value),
  };
}
