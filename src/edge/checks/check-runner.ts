/** One health check of a server, from its connection to its verdict. */
import type {CheckSchedule, ConnectStep} from '../../config/health.ts';
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {type CheckAddress, type CheckConnection, type CheckServices, openCheckConnection, type TlsNames} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import type {CheckFinding, CheckResult} from './check-result.ts';
import {type CheckSamples, openCheckContext} from './check-samples.ts';
import {compileHttpCheck, type HttpCheck} from './http-check.ts';
import {compileTcpCheck, type TcpCheck} from './tcp-check.ts';

export interface CheckTarget {
  readonly config: ServerConfig;
  readonly schedule: CheckSchedule;
  /** Where the server is at this moment. */
  readonly address: CheckAddress;
  readonly isUp: boolean;
}

export interface CheckRunner {
  /** @throws the reason of the signal; whatever else goes wrong is a result */
  run(target: CheckTarget, signal: AbortSignal): Promise<CheckResult>;
}

export interface CheckRunnerOptions {
  readonly backend: Pick<BackendConfig, 'name' | 'check' | 'checkTimeoutMs' | 'connectTimeoutMs'>;
  readonly services: CheckServices;
  readonly samples: CheckSamples;
  readonly clock: Clock;
}

type Compiled = {readonly kind: 'connect'} | {readonly kind: 'http'; readonly check: HttpCheck} | {readonly kind: 'tcp'; readonly check: TcpCheck};

/** @throws CodedError of the compiler */
export function createCheckRunner(options: CheckRunnerOptions): CheckRunner {
  const {clock} = options;
  const compiled = compile(options);
  return {
    async run(target, signal) {
      const startedMs = clock.monotonicMs();
      const finding = await findOut(compiled, target, {...options, signal}).catch((error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof CheckFailure) return error.finding;
        throw error;
      });
      return {...finding, durationMs: clock.monotonicMs() - startedMs};
    },
  };
}

function compile({backend: {check}, samples: {compiler}}: CheckRunnerOptions): Compiled {
  switch (check.kind) {
    case 'connect':
      return check;
    case 'http':
      return {kind: 'http', check: compileHttpCheck(check, compiler)};
    case 'tcp':
      return {kind: 'tcp', check: compileTcpCheck(check, compiler)};
    default:
      return check satisfies never;
  }
}

/** Without `timeout check` the whole check has to be done within its interval; with it, the connection has that, and each answer the time-out. */
async function findOut(compiled: Compiled, target: CheckTarget, options: CheckRunnerOptions & {readonly signal: AbortSignal}): Promise<CheckFinding> {
  const {backend, clock, samples} = options;
  const {schedule, config} = target;
  const startedMs = clock.monotonicMs();
  const {checkTimeoutMs, connectTimeoutMs} = backend;
  const open = (step: ConnectStep | null): Promise<CheckConnection> =>
    openCheckConnection({
      ...options,
      server: config,
      address: placeOf(step, target.address),
      tls: namesOf(step, schedule, compiled.kind),
      sendProxy: step?.sendProxy === true || (usesDefaults(step) && schedule.sendProxy),
      lingers: step?.lingers ?? false,
      connectTimeoutMs: checkTimeoutMs === null ? schedule.intervalMs : Math.min(connectTimeoutMs, schedule.intervalMs),
    });
  const answerTimeoutMs = (): number => checkTimeoutMs ?? Math.max(1, startedMs + schedule.intervalMs - clock.monotonicMs());
  const context = openCheckContext(samples, {backend: backend.name, server: config.name});
  switch (compiled.kind) {
    case 'connect': {
      using _connection = await open(null);
      return {status: schedule.tls ? 'L6OK' : 'L4OK', code: 0, info: ''};
    }
    case 'http':
      return compiled.check.run(open, {timeoutMs: answerTimeoutMs, isUp: target.isUp, context});
    case 'tcp':
      return compiled.check.run(open, {timeoutMs: answerTimeoutMs(), context});
    default:
      return compiled satisfies never;
  }
}

function usesDefaults(step: ConnectStep | null): boolean {
  return step === null || step.usesDefaults;
}

/** Checks over HTTP speak HTTP/1, whatever the traffic speaks. */
const notSpoken = {connect: [], tcp: [], http: ['h2']} as const;

function namesOf(step: ConnectStep | null, schedule: CheckSchedule, kind: Compiled['kind']): TlsNames | null {
  const inherits = usesDefaults(step);
  if (step?.tls !== true && !(inherits && schedule.tls)) return null;
  return {
    sni: step?.sni ?? (inherits ? schedule.sni : null),
    alpn: step?.alpn ?? (inherits ? schedule.alpn : null),
    unspoken: notSpoken[kind],
  };
}

function placeOf(step: ConnectStep | null, address: CheckAddress): CheckAddress {
  if (step === null) return address;
  if ('path' in address) return step.address === null || step.port === null ? address : {host: step.address, port: step.port};
  const port = step.port ?? address.port;
  return step.address === null ? {...address, port} : {host: step.address, port};
}
