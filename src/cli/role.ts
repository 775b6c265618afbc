/** What one process does of a configuration that several may share: all of it, what runs apps, or what stands before them. */
import type {Config} from '../config/value.ts';

/** `supervisor`: the apps, and frontends of mode nat, which are the kernel's; `edge`: the other frontends, with the apps of whoever runs them. */
export type Role = 'all' | 'supervisor' | 'edge';

/** The part of the configuration that is this role's. What both would open at one place (`stats socket`, `pidfile`) is the edge's. */
export function roleConfig(config: Config, role: Role): Config {
  switch (role) {
    case 'all':
      return config;
    case 'edge':
      return {...config, frontends: config.frontends.filter(({mode}) => mode !== 'nat')};
    case 'supervisor': {
      const frontends = config.frontends.filter(({mode}) => mode === 'nat');
      const targets = new Set(frontends.map(({defaultBackend}) => defaultBackend));
      const process = {...config.global.process, statsSockets: [], pidFile: null, user: null, group: null};
      return {
        ...config,
        global: {...config.global, process},
        frontends,
        backends: config.backends.filter(({name}) => targets.has(name)),
        resolvers: [],
      };
    }
    default:
      return role satisfies never;
  }
}
