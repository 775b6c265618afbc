import {errorMessage} from '../core/errors.ts';
import {type AppName, appName} from '../core/ids.ts';
import {ConfigError} from './arguments.ts';
import {allConditions} from './awake-while.ts';
import type {Diagnostic} from './diagnostic.ts';
import {describePosition, type Position} from './position.ts';
import {all, effective, inherited, isMissing, own, type Section} from './section.ts';
import type {AppConfig, Expose, Readiness, RootConfig, Volume} from './value.ts';

export const defaultWakeTimeoutMs = 10_000;
const defaultHibernateAfterMs = 60_000;
const defaultLogBytes = 1024 ** 2;

/** An app and what later checks must know of how it was written. */
export interface AppDraft {
  readonly value: AppConfig;
  readonly section: Section;
  /** What must exist on this host: a directory for `rootfs`, anything for a volume. */
  readonly paths: readonly {readonly path: string; readonly keyword: 'rootfs' | 'volume'; readonly position: Position}[];
}

/** @returns null when the name cannot be used; that and everything else that is wrong is reported */
export function buildApp(section: Section, report: (diagnostic: Diagnostic) => void): AppDraft | null {
  const name = checkName(section, report);
  const missing = (what: string): void =>
    report({level: 'alert', position: section.position, word: section.name, message: `app '${section.name}' has no ${what}`});
  if (isMissing(section, 'rootfs') && isMissing(section, 'image')) missing("'rootfs' and no 'image'");
  const hasImage = !isMissing(section, 'image');
  if (isMissing(section, 'exec') && !hasImage) missing("'exec'");
  const root = rootOf(section, report);
  const volumes = all(section, 'volume').map(({value}) => value);
  reportRepeated(volumes, ({destination}) => destination, 'destination', report);
  const variables = all(section, 'env').flatMap(({value}) => value);
  reportRepeated(variables, (variable) => variable.name, 'environment variable', report);
  const ports = all(section, 'expose').flatMap(({value}) => value);
  reportRepeated(ports, ({protocol, port}) => `${protocol} ${port}`, 'port', report);
  if (name === null) return null;
  const wakeTimeoutMs = effective(section, 'timeout wake')?.value ?? defaultWakeTimeoutMs;
  const value: AppConfig = {
    name,
    position: section.position,
    root,
    exec: own(section, 'exec')?.value ?? [],
    expose: ports.map(({protocol, port}): Expose => ({protocol, port})),
    start: own(section, 'start')?.value ?? 'lazy',
    onStop: own(section, 'on-stop')?.value ?? 'hibernate',
    hibernateAfterMs: hibernateAfterMs(section),
    minAwakeMs: effective(section, 'min-awake')?.value ?? 0,
    awakeWhile: allConditions(inherited(section, 'awake-while').map((setting) => setting.value)),
    pin: own(section, 'pin')?.value ?? false,
    memoryBytes: own(section, 'memory')?.value ?? null,
    cpus: own(section, 'cpus')?.value ?? null,
    pidsMax: own(section, 'pids')?.value ?? null,
    env: Object.fromEntries(variables.map((variable) => [variable.name, variable.value])),
    user: own(section, 'user')?.value ?? (hasImage ? null : '0:0'),
    workdir: own(section, 'workdir')?.value ?? (hasImage ? null : '/'),
    volumes: volumes.map(({source, destination, readOnly}): Volume => ({source, destination, readOnly})),
    onRestoreFailure: effective(section, 'on-restore-failure')?.value ?? ['retry'],
    restart: effective(section, 'restart')?.value ?? 'never',
    ready: readiness(section, ports, report),
    readyTimeoutMs: effective(section, 'timeout ready')?.value ?? wakeTimeoutMs,
    paging: own(section, 'paging')?.value ?? 'lazy',
    prefetch: own(section, 'prefetch')?.value ?? 'predict',
    backgroundFetch: own(section, 'background-fetch')?.value ?? true,
    readAhead: own(section, 'read-ahead')?.value ?? true,
    wakeTimeoutMs,
    wakeRate: own(section, 'wake-rate')?.value ?? null,
    timers: effective(section, 'timers')?.value ?? null,
    wakeAt: all(section, 'wake-at').map(({value}) => value),
    checkpointEveryMs: effective(section, 'checkpoint-every')?.value ?? null,
    onWorker: all(section, 'on-worker').map((setting) => setting.value),
    logBytes: own(section, 'log-size')?.value ?? defaultLogBytes,
  };
  const rootfs = own(section, 'rootfs')?.value;
  const paths = [
    ...(rootfs === undefined ? [] : [{path: rootfs.text, keyword: 'rootfs' as const, position: rootfs.position}]),
    ...volumes.map(({source, position}) => ({path: source, keyword: 'volume' as const, position})),
  ];
  return {value, section, paths};
}

function rootOf(section: Section, report: (diagnostic: Diagnostic) => void): RootConfig {
  const rootfs = own(section, 'rootfs');
  const image = own(section, 'image');
  if (image === undefined) return {kind: 'directory', path: rootfs?.value.text ?? ''};
  if (rootfs !== undefined) {
    const second = rootfs.position.line > image.position.line ? rootfs : image;
    report({level: 'alert', position: second.position, word: second.name, message: `app '${section.name}' has 'rootfs' and 'image', only one is possible`});
  }
  return {kind: 'image', name: image.value};
}

function hibernateAfterMs(section: Section): number | null {
  const setting = effective(section, 'hibernate-after');
  return setting === undefined ? defaultHibernateAfterMs : setting.value;
}

function readiness(section: Section, exposed: readonly Expose[], report: (diagnostic: Diagnostic) => void): Readiness {
  const setting = effective(section, 'ready');
  if (setting === undefined) return {kind: 'exposed'};
  const {value, position, name} = setting;
  if (value.kind !== 'http') return value;
  const port = value.port ?? exposed.find(({protocol}) => protocol === 'tcp')?.port;
  if (port !== undefined) return {...value, port};
  report({level: 'alert', position, word: name, message: `app '${section.name}' exposes no TCP port: 'ready http' needs 'port'`});
  return {kind: 'exposed'};
}

function checkName({name, position}: Section, report: (diagnostic: Diagnostic) => void): AppName | null {
  try {
    return appName(name);
  } catch (error) {
    report(new ConfigError(errorMessage(error), position, name).diagnostic);
    return null;
  }
}

function reportRepeated<Item extends {readonly position: Position}>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  what: string,
  report: (diagnostic: Diagnostic) => void,
): void {
  const seen = new Map<string, Item>();
  for (const item of items) {
    const key = keyOf(item);
    const earlier = seen.get(key);
    if (earlier === undefined) seen.set(key, item);
    else report({level: 'alert', position: item.position, word: key, message: `${what} '${key}' is already given at ${describePosition(earlier.position)}`});
  }
}
