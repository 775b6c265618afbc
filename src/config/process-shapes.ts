/** Lines of `global` that change how the lines after them are read, and the defaults of TLS. */
import {dirname, resolve} from 'node:path';
import {type Arguments, ConfigError} from './arguments.ts';
import {type OptionTable, readOptions} from './options.ts';
import type {PathBases} from './scope.ts';
import {choice, type Shape} from './shapes.ts';
import {bindVerify, emptyTls, serverVerify, type TlsDraft, versionOptions} from './tls-options.ts';

/** `ca-base` and `crt-base`. */
export function basePath(key: Exclude<keyof PathBases, 'defaultPath'>): Shape<string> {
  return {
    usage: '<directory>',
    read(args) {
      const word = args.take('<directory>');
      const path = resolve(dirname(word.position.file), word.text);
      args.scope.paths[key] = path;
      return path;
    },
  };
}

export const defaultPath: Shape<string> = {
  usage: 'current | config | parent | origin <directory>',
  read(args) {
    const kind = choice(['current', 'config', 'parent', 'origin']).read(args);
    const config = dirname(args.position.file);
    const path = kind === 'origin' ? resolve(args.take('<directory>').text) : resolve(kind === 'current' ? '.' : kind === 'parent' ? `${config}/..` : config);
    args.scope.paths.defaultPath = kind === 'config' ? null : path;
    return path;
  },
};

function takeVariable(args: Arguments): string {
  const word = args.take('<name>');
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(word.text)) throw args.invalid(word, 'this is not the name of an environment variable');
  return word.text;
}

/** What the process itself has to set too: its children and `env()` see it. */
export interface EnvironmentChange {
  readonly name: string;
  /** Null: it is removed. */
  readonly value: string | null;
}

function setter(onlyIfUnset: boolean): Shape<readonly EnvironmentChange[]> {
  return {
    usage: '<name> <value>',
    read(args) {
      const name = takeVariable(args);
      const value = args.take('<value>').text;
      const {env} = args.scope;
      if (onlyIfUnset && Object.hasOwn(env, name) && env[name] !== undefined) return [];
      env[name] = value;
      return [{name, value}];
    },
  };
}

export const setEnvironment = setter(false);
export const presetEnvironment = setter(true);

export const unsetEnvironment: Shape<readonly EnvironmentChange[]> = {
  usage: '<name>...',
  read(args) {
    const changes: EnvironmentChange[] = [];
    do {
      const name = takeVariable(args);
      args.scope.env[name] = undefined;
      changes.push({name, value: null});
    } while (!args.atEnd);
    return changes;
  },
};

const noEffect = new Map([
  ['prefer-client-ciphers', 0],
  ['no-ca-names', 0],
]);

function tlsDefaults(table: OptionTable<{readonly tls: TlsDraft}>): Shape<TlsDraft> {
  return {
    usage: '<option>...',
    read(args) {
      if (args.atEnd) throw new ConfigError(`missing argument for '${args.keyword}': an option is expected`, args.position, args.keyword);
      return readOptions(args, table, {tls: emptyTls()}).tls;
    },
  };
}

export const tlsBindDefaults = tlsDefaults({known: {...versionOptions, verify: bindVerify}, ignored: noEffect, later: new Set(['force-sslv3'])});
export const tlsServerDefaults = tlsDefaults({known: {...versionOptions, verify: serverVerify}, ignored: noEffect, later: new Set(['force-sslv3'])});
