import type {LiveStatus, StatusOptions} from './app-status.ts';
import type {IdleVerdict} from './idle.ts';
import {type Instance, pagingOf} from './instance.ts';

/** What only this worker knows of an app, at this moment. @param facts.verdict of the idle watch, when it runs */
export async function liveStatus(
  options: StatusOptions,
  facts: Omit<LiveStatus, 'address' | 'pids' | 'awakeBecause' | 'sleepsInMs' | 'paging' | 'memoryBytes'> & {
    readonly instance: Instance | undefined;
    readonly verdict: IdleVerdict | undefined;
  },
): Promise<LiveStatus> {
  const {container, network} = options;
  const {instance, verdict, ...others} = facts;
  const waits = verdict?.kind === 'wait' ? verdict : null;
  return {
    address: network.address,
    pids: instance === undefined ? [] : container.pids(),
    awakeBecause: waits?.reason ?? null,
    sleepsInMs: waits !== null && Number.isFinite(waits.ms) ? waits.ms : null,
    memoryBytes: instance === undefined ? null : container.memoryBytes(),
    paging: instance === undefined || instance.base === null ? null : await pagingOf(options, instance),
    ...others,
  };
}
