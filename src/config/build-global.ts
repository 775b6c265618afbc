import {join} from 'node:path';
import {defaultMaxconn} from './proxy-defaults.ts';
import {all, effective, type Section} from './section.ts';
import type {GlobalConfig} from './value.ts';

const defaultStateDir = '/var/lib/picogate';
const defaultCacheBytes = 10 * 1024 ** 3;

/** All `global` sections together. */
export function buildGlobal(sections: readonly Section[]): GlobalConfig {
  const together: Section = {
    kind: 'global',
    name: '',
    position: sections[0]?.position ?? {file: '', line: 1, column: 1},
    defaults: null,
    settings: sections.flatMap(({settings}) => settings),
    failed: new Set(),
  };
  const stateDir = effective(together, 'state-dir')?.value.text ?? defaultStateDir;
  return {
    redis: effective(together, 'redis')?.value ?? {kind: 'embedded'},
    stateDir,
    runtimeDir: effective(together, 'runtime-dir')?.value.text ?? join(stateDir, 'run'),
    store: effective(together, 'store')?.value ?? {kind: 'directory', path: join(stateDir, 'store')},
    cacheBytes: effective(together, 'cache-size')?.value ?? defaultCacheBytes,
    encryptionKeys: all(together, 'encryption-key').map(({value}) => value),
    privateRange: effective(together, 'private-range')?.value ?? 'auto',
    maxconn: effective(together, 'maxconn')?.value ?? defaultMaxconn,
    stopTimeoutMs: effective(together, 'hard-stop-after')?.value ?? 30_000,
    criu: effective(together, 'criu')?.value.text ?? null,
    keepGenerations: effective(together, 'keep-generations')?.value ?? 2,
  };
}
