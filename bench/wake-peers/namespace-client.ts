/** A client of a server that is about to be there, inside that server's network namespace. */
import {Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {errorCode} from '../../src/core/errors.ts';
import {socket as newSocket, socketType} from '../../src/core/libc.ts';
import {withinNetns} from '../../src/core/netns.ts';
import {answerOn, type Question, type TimedAnswer} from '../client.ts';

const addressFamilyInet = 2;
const retryMs = 1;

export interface Waiting {
  readonly netnsPath: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** Why there will be no answer. */
  readonly signal: AbortSignal;
}

/** Connects again and again until somebody listens, and asks. The times are from the call on. */
export async function firstAnswer({netnsPath, port, timeoutMs, signal}: Waiting, question: Question): Promise<TimedAnswer> {
  const startedMs = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const fd = withinNetns(netnsPath, () => newSocket(addressFamilyInet, socketType.stream | socketType.closeOnExec, 0));
    const socket = new Socket({fd}).connect(port, '127.0.0.1');
    try {
      return await answerOn(socket, question, {startedMs, timeoutMs, what: netnsPath});
    } catch (error) {
      if (errorCode(error) !== 'ECONNREFUSED' || performance.now() - startedMs > timeoutMs) throw error;
    }
    await sleep(retryMs);
  }
}
