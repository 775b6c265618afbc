import {join, resolve} from 'node:path';
import {memoryMarks} from './build-memory.ts';
import type {Diagnostic} from './diagnostic.ts';
import type {ProcessConfig} from './process-value.ts';
import {defaultMaxconn} from './proxy-defaults.ts';
import {noFiles, openScope} from './scope.ts';
import {all, effective, inOrder, type Section, settingsByName} from './section.ts';
import {resolveHostPath} from './shapes.ts';
import {emptyTls, type TlsDraft} from './tls-options.ts';
import {noUnixBindDefaults, type UnixBindDefaults} from './unix-bind-shape.ts';
import type {Config, GlobalConfig} from './value.ts';
import {workerProblem} from './worker-shape.ts';

const defaultStateDir = '/var/lib/picogate';
const defaultCacheBytes = 10 * 1024 ** 3;
const defaultBufferBytes = 16_384;
const defaultStatsTimeoutMs = 10_000;
const defaultStopTimeoutMs = 30_000;
const defaultLeaseMs = 15_000;

export interface GlobalDraft {
  readonly value: GlobalConfig;
  readonly environment: Config['environment'];
  readonly tls: TlsDefaults;
  readonly unixBind: UnixBindDefaults;
}

/** What holds where a `bind` or `server` says nothing. */
export interface TlsDefaults {
  readonly bind: TlsDraft;
  readonly server: TlsDraft;
}

/** All `global` sections together. */
export function buildGlobal(sections: readonly Section[], report: (diagnostic: Diagnostic) => void): GlobalDraft {
  const together = merged(sections);
  const stateDir = effective(together, 'state-dir')?.value.text ?? defaultStateDir;
  const value: GlobalConfig = {
    redis: effective(together, 'redis')?.value ?? {kind: 'embedded'},
    gatewayLog: effective(together, 'gateway-log')?.value ?? {form: 'json', level: null},
    otlp: effective(together, 'otlp')?.value ?? null,
    stateDir,
    runtimeDir: effective(together, 'runtime-dir')?.value.text ?? join(stateDir, 'run'),
    store: effective(together, 'store')?.value ?? {kind: 'directory', path: join(stateDir, 'store')},
    cacheBytes: effective(together, 'cache-size')?.value ?? defaultCacheBytes,
    encryptionKeys: all(together, 'encryption-key').map((setting) => setting.value),
    privateRange: effective(together, 'private-range')?.value ?? 'auto',
    maxconn: effective(together, 'maxconn')?.value ?? defaultMaxconn,
    stopTimeoutMs: effective(together, 'hard-stop-after')?.value ?? defaultStopTimeoutMs,
    criu: effective(together, 'criu')?.value.text ?? null,
    keepGenerations: effective(together, 'keep-generations')?.value ?? 2,
    wakeRatePerSource: effective(together, 'global wake-rate')?.value ?? null,
    memory: memoryMarks(together, report),
    rates: {activePerGbHour: effective(together, 'rate-active')?.value ?? null, storedPerGbHour: effective(together, 'rate-stored')?.value ?? null},
    worker: effective(together, 'worker')?.value ?? null,
    leaseMs: effective(together, 'lease-time')?.value ?? defaultLeaseMs,
    dynamicApps: effective(together, 'dynamic-apps')?.value ?? false,
    process: buildProcess(together),
  };
  const worker = effective(together, 'worker');
  const problem = worker === undefined ? null : workerProblem(value);
  if (worker !== undefined && problem !== null) report({level: 'alert', position: worker.position, word: worker.value.name, message: problem});
  return {value, environment: environmentOf(together), tls: tlsDefaults(together), unixBind: effective(together, 'unix-bind')?.value ?? noUnixBindDefaults()};
}

function merged(sections: readonly Section[]): Section {
  const settings = sections.flatMap((section) => section.settings);
  return {
    kind: 'global',
    name: '',
    position: sections[0]?.position ?? {file: '', line: 1, column: 1},
    defaults: null,
    settings,
    byName: settingsByName(settings),
    failed: new Set(sections.flatMap((section) => [...section.failed])),
    scope: openScope('global', {host: noFiles, paths: {defaultPath: null, crtBase: null, caBase: null}, env: {}}),
  };
}

function buildProcess(section: Section): ProcessConfig {
  const hostname = effective(section, 'log-send-hostname')?.value ?? '';
  const uid = effective(section, 'uid')?.value;
  const gid = effective(section, 'gid')?.value;
  return {
    threads: effective(section, 'nbthread')?.value ?? 1,
    statsSockets: all(section, 'stats socket').map(({value}) => value),
    statsTimeoutMs: effective(section, 'stats timeout')?.value ?? defaultStatsTimeoutMs,
    logs: all(section, 'global log').map(({value}) => value),
    bufferBytes: effective(section, 'tune.bufsize')?.value ?? defaultBufferBytes,
    variables: inOrder(section, ['set-var', 'set-var-fmt']).map(({value}) => value),
    logTag: effective(section, 'log-tag')?.value ?? 'picogate',
    logHostname: hostname === '' ? null : hostname,
    ...statePaths(section),
    node: effective(section, 'node')?.value ?? null,
    description: effective(section, 'description')?.value ?? null,
    user: effective(section, 'global user')?.value ?? (uid === undefined ? null : String(uid)),
    group: effective(section, 'global group')?.value ?? (gid === undefined ? null : String(gid)),
    daemon: effective(section, 'daemon')?.value ?? false,
    masterWorker: effective(section, 'master-worker') !== undefined,
    openFiles: effective(section, 'ulimit-n')?.value ?? null,
    pidFile: effective(section, 'pidfile')?.value.text ?? null,
    hardStopAfterMs: effective(section, 'hard-stop-after')?.value ?? null,
  };
}

function statePaths(section: Section): Pick<ProcessConfig, 'serverStateFile' | 'serverStateBase'> {
  const base = effective(section, 'server-state-base')?.value;
  const file = effective(section, 'server-state-file')?.value;
  const serverStateBase = base === undefined ? null : resolveHostPath(base);
  return {serverStateBase, serverStateFile: file === undefined ? null : serverStateBase === null ? resolveHostPath(file) : resolve(serverStateBase, file.text)};
}

function environmentOf(section: Section): Config['environment'] {
  const changes = inOrder(section, ['setenv', 'presetenv', 'unsetenv']).flatMap(({value}) => value);
  return Object.fromEntries(changes.map(({name, value}) => [name, value]));
}

function tlsDefaults(section: Section): TlsDefaults {
  const of = (options: TlsDraft | undefined, ciphers: string | undefined, ciphersuites: string | undefined): TlsDraft => ({
    ...(options ?? emptyTls()),
    ...(ciphers === undefined ? {} : {ciphers}),
    ...(ciphersuites === undefined ? {} : {ciphersuites}),
  });
  const value = (name: 'ssl-default-bind-ciphers' | 'ssl-default-bind-ciphersuites' | 'ssl-default-server-ciphers' | 'ssl-default-server-ciphersuites') =>
    effective(section, name)?.value;
  return {
    bind: of(effective(section, 'ssl-default-bind-options')?.value, value('ssl-default-bind-ciphers'), value('ssl-default-bind-ciphersuites')),
    server: of(effective(section, 'ssl-default-server-options')?.value, value('ssl-default-server-ciphers'), value('ssl-default-server-ciphersuites')),
  };
}
