/** A server that joins a backend while the gateway runs: its words are those of a `server` line, and no `default-server` is asked. */
import {CodedError} from '../core/errors.ts';
import {checkFiles} from './load.ts';
import type {BackendConfig, ServerConfig} from './proxy-value.ts';
import {quotedWord} from './quoted-word.ts';

/** @throws CodedError ERR_BAD_SERVER with what is wrong with the words */
export function parseDynamicServer({name, mode}: Pick<BackendConfig, 'name' | 'mode'>, words: readonly string[]): ServerConfig {
  const text = `backend ${name}\n  mode ${mode}\n  timeout connect 1s\n  timeout server 1s\n  server ${words.map(quotedWord).join(' ')}\n`;
  const {backends, diagnostics} = checkFiles([{path: 'stats socket', text}], {});
  const wrong = diagnostics.find(({level, position}) => level === 'alert' && position.line === serverLine);
  const server = backends[0]?.value.servers[0];
  if (wrong !== undefined || server === undefined) throw new CodedError('ERR_BAD_SERVER', wrong?.message ?? 'no server', {source: 'client'});
  return server;
}

const serverLine = 5;
