import type {Target} from '../config/proxy-value.ts';
import type {Config} from '../config/value.ts';

/** One address of a `mode nat` frontend and where the kernel sends its packets. */
export interface NatEntry {
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  readonly targetHost: string;
  readonly targetPort: number;
}

/** The kernel forwards to nothing else; the configuration was checked for it. */
type ForwardedTarget = Exclude<Target, {kind: 'unix'}>;

/** @param addressOf the private address of an app */
export function natEntries(config: Config, addressOf: (app: string) => string): NatEntry[] {
  const hostOf = (target: ForwardedTarget): string => (target.kind === 'app' ? addressOf(target.app) : target.host);
  return config.frontends
    .filter((frontend) => frontend.mode === 'nat')
    .flatMap((frontend) => {
      const target = config.backends.find((backend) => backend.name === frontend.defaultBackend)?.servers[0]?.target;
      if (target === undefined || target.kind === 'unix') return [];
      return frontend.binds.map(({protocol, host, port}) => ({protocol, host, port, targetHost: hostOf(target), targetPort: target.port}));
    });
}
