/** What an operator has changed in the first thread, done in another one. */
import {clearCounters} from '../../edge/counters.ts';
import type {Edge} from '../../edge/edge.ts';
import {cutAll} from '../../edge/pool/shut-sessions.ts';
import {changePatterns} from '../../edge/samples/pattern-change.ts';
import type {Change} from './thread-messages.ts';

/** @throws CodedError for what the first thread could do and this one cannot */
export function applyChange(edge: Edge, change: Change): void {
  const {parts} = edge;
  switch (change.what) {
    case 'frontend': {
      const admission = edge.frontends.find(({name}) => name === change.frontend)?.admission;
      if (change.to === 'paused') admission?.pause();
      else if (change.to === 'resumed') admission?.resume();
      else admission?.stop();
      return;
    }
    case 'frontend-maxconn':
      edge.frontends.find(({name}) => name === change.frontend)?.admission?.setMaxconn(change.maxconn);
      return;
    case 'patterns':
      changePatterns(parts.lists, change.change);
      return;
    case 'variable':
      parts.entrance.contextParts.processVariables.set(change.name, change.value);
      return;
    case 'certificate':
      // Those of frontends that are not served here are not known.
      if (parts.certificates.get(change.path) === null) return;
      parts.certificates.stage(change.path, change.pem);
      parts.certificates.commit(change.path);
      return;
    case 'ticket-key':
      parts.ticketKeys.get(change.path)?.add(Buffer.from(change.key));
      return;
    case 'cookies': {
      const cookies = parts.pools.get(change.backend)?.cookies;
      if (cookies === undefined) return;
      if (change.key !== undefined) cookies.key = change.key;
      if (change.isOn !== undefined) cookies.isDynamic = change.isOn;
      return;
    }
    case 'shut-server': {
      const server = parts.pools.get(change.backend)?.server(change.server) ?? null;
      if (server !== null) cutAll(server, 'K');
      return;
    }
    case 'clear':
      clearAll(edge, change.scope);
      return;
    default:
      change satisfies never;
  }
}

/** `clear counters` */
export function clearAll({frontends, parts}: Edge, scope: 'maxima' | 'all'): void {
  for (const {counters, listeners} of frontends) for (const one of [{counters}, ...listeners]) clearCounters(one.counters, scope);
  for (const pool of parts.pools.list()) pool.clearCounters(scope);
}
