import {constants} from 'node:os';

/** How a process ended: exactly one of both is null. */
export type WaitStatus = {readonly exitCode: number; readonly signal: null} | {readonly exitCode: null; readonly signal: string};

/** @param status as wait(2) gives it for a process that has ended */
export function readWaitStatus(status: number): WaitStatus {
  const number = status & 0x7f;
  if (number === 0) return {exitCode: (status >> 8) & 0xff, signal: null};
  return {exitCode: null, signal: Object.entries(constants.signals).find(([, known]) => known === number)?.[0] ?? `signal ${number}`};
}
