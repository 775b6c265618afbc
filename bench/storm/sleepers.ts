/** Servers that are started, and put to sleep again and again. */
import {setTimeout as sleep} from 'node:timers/promises';
import {limited} from '../../src/core/limited.ts';
import type {BenchGateway} from '../bench-gateway.ts';
import {lineQuestion, timedAnswer} from '../client.ts';
import type {StormApp} from './storm-apps.ts';

const atATime = 2;
const retryMs = 200;
const timeoutMs = 60_000;
/** It is known then what a wake needs. */
const trainingWakes = 1;
export const count = lineQuestion('count');

/** All of them sleep then, and have woken before. */
export async function startSleepers(gateway: BenchGateway, apps: readonly StormApp[], signal: AbortSignal): Promise<void> {
  for (let wake = 0; wake <= trainingWakes; wake++) {
    await limited(apps, atATime, async ({port}) => {
      signal.throwIfAborted();
      await timedAnswer(port, count, timeoutMs);
    });
    await putToSleep(gateway, apps, signal);
  }
}

export async function putToSleep(gateway: BenchGateway, apps: readonly StormApp[], signal: AbortSignal): Promise<void> {
  await limited(apps, atATime, async ({name}) => {
    const deadlineMs = performance.now() + timeoutMs;
    // An app that still closes its last connection is not put to sleep.
    while ((await gateway.control('hibernate', {name})) !== 'hibernated') {
      if (performance.now() > deadlineMs) throw new Error(`${name} was not put to sleep within ${timeoutMs} ms`);
      await sleep(retryMs, undefined, {signal});
    }
  });
  await settle(gateway);
}

/** What follows a wake or a sleep is done. On a machine that is busy with other work that is never seen, and what is measured begins nevertheless. */
export async function settle(gateway: BenchGateway): Promise<void> {
  await gateway.untilQuiet().catch(() => undefined);
}

/** @returns what a `count` was answered with */
export function countOf(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number)) throw new Error(`"${text}" is no answer to count`);
  return number;
}
