import type {LiveStatus, StatusOptions} from './app-status.ts';
import type {IdleVerdict} from './idle.ts';
import {type Instance, pagingOf} from './instance.ts';

/** What only this worker knows of an app, at this moment. @param facts.verdict of the idle watch, when it runs */
export async function liveStatus(
  options: StatusOptions,
  facts: {
    readonly instance: Instance | undefined;
    readonly verdict: IdleVerdict | undefined;
    readonly busySessions: number;
    readonly layers: readonly string[];
  },
): Promise<LiveStatus> {
  const {container, network} = options;
  const {instance, verdict, busySessions, layers} = facts;
  return {
    address: network.address,
    pids: instance === undefined ? [] : container.pids(),
    busySessions,
    awakeBecause: verdict === undefined || verdict.kind === 'sleep' ? null : verdict.reason,
    paging: instance === undefined || instance.base === null ? null : await pagingOf(options, instance),
    layers,
  };
}
