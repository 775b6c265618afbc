import type {Target} from '../config/proxy-value.ts';
import type {Config} from '../config/value.ts';
import {type AppName, appName} from '../core/ids.ts';
import type {Endpoint} from '../supervisor/app-locator.ts';

/** One address of a `mode nat` frontend and where the kernel sends its packets. */
export interface NatEntry {
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  readonly targetHost: string;
  readonly targetPort: number;
  readonly isUnnoticed?: boolean;
}

/** The kernel forwards to nothing else; the configuration was checked for it. */
type ForwardedTarget = Exclude<Target, {kind: 'unix'}>;

interface Bind {
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
}

/**
 * @param addressOf the private address of an app
 * @param placeOf where an app is on another worker
 */
export function natEntries(config: Config, addressOf: (app: string) => string, placeOf: (app: AppName) => Endpoint | undefined): NatEntry[] {
  const targetOf = ({protocol, host}: Bind, target: ForwardedTarget): Pick<NatEntry, 'targetHost' | 'targetPort'> => {
    if (target.kind !== 'app') return {targetHost: target.host, targetPort: target.port};
    // From loopback the kernel routes to nowhere else.
    const place = host.startsWith('127.') ? undefined : placeOf(target.app);
    const port = place?.ports[`${protocol}/${target.port}`];
    if (place === undefined || port === undefined) return {targetHost: addressOf(target.app), targetPort: target.port};
    return {targetHost: place.host, targetPort: port};
  };
  return natTargets(config).flatMap(({binds, target}) =>
    binds.map(({protocol, host, port}) => ({protocol, host, port, ...targetOf({protocol, host, port}, target)})),
  );
}

/** The apps that frontends of mode nat lead to. */
export function natApps(config: Config): AppName[] {
  return natTargets(config).flatMap(({target}) => (target.kind === 'app' ? [appName(target.app)] : []));
}

function natTargets({frontends, backends}: Config): {readonly binds: readonly Bind[]; readonly target: ForwardedTarget}[] {
  return frontends
    .filter((frontend) => frontend.mode === 'nat')
    .flatMap(({binds, defaultBackend}) => {
      const target = backends.find((backend) => backend.name === defaultBackend)?.servers[0]?.target;
      return target === undefined || target.kind === 'unix' ? [] : [{binds, target}];
    });
}
