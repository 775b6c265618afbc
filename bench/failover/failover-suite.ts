/** How long a client waits whose app ran on a worker that was killed: two workers, Redis and an S3 server, each in a namespace or process of its own. */
import {setTimeout as sleep} from 'node:timers/promises';
import {durableApp, listen, verified} from '../../test/helpers/durable-app.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {lineClient} from '../../test/helpers/line-client.ts';
import {leaseMs, type TestWorker, workerNetwork} from '../../test/helpers/worker-network.ts';
import type {Samples} from '../paging/samples.ts';
import {type PartContext, type PartReport, suiteOfParts} from '../parts.ts';
import {quantile} from '../statistics.ts';
import {fixed} from '../table.ts';

const name = 'from the kill to the answer at the other worker';
const goalMs = leaseMs + 200;

async function ask({address}: TestWorker, port: number, request: string): Promise<string> {
  using client = await lineClient(port, {host: address});
  return await client.request(request);
}

async function run({rounds, signal, record, progress}: PartContext): Promise<void> {
  await using scope = new AsyncDisposableStack();
  const network = await workerNetwork({
    passed: true,
    log: Object.assign(() => undefined, {skip: () => undefined}),
    teardown: (undo) => scope.defer(async () => undo()),
  });
  const port = await freePort();
  const sections = `${await durableApp('a', ['hibernate-after never'])}${listen('a', port, '0.0.0.0')}`;
  let [holder, other] = [await network.worker('w1', sections), await network.worker('w2', sections)];
  await holder.gateway.start();
  await ask(holder, port, 'count');
  await other.gateway.start();
  for (let round = 1; round <= rounds; round++) {
    signal.throwIfAborted();
    progress(`round ${round} of ${rounds}`);
    await holder.gateway.cli('hibernate', 'a', '--cold');
    const count = await ask(holder, port, 'count');
    // At any moment between two extensions of its lease.
    await sleep((Math.random() * leaseMs) / 2, undefined, {signal});
    const killedMs = performance.now();
    await holder.gateway.stop('SIGKILL');
    const answer = await ask(other, port, 'agree');
    const answerMs = performance.now() - killedMs;
    const [before, after] = [Number(count), Number(answer.split(' ')[0])];
    // The last count was not checkpointed.
    if (after !== before - 1 || (await ask(other, port, 'verify')) !== verified) throw new Error(`"${answer}" after ${count}`);
    record({case: name, round, values: {answerMs}});
    await holder.gateway.start();
    [holder, other] = [other, holder];
  }
}

function report(samples: Samples): PartReport {
  const times = samples.values(name, 'answerMs');
  const [middle, ...others] = [0.5, 0.99, 0, 1].map((share) => quantile(times, share));
  return {
    tables: [
      {
        title: `Failover with a lease of ${leaseMs} ms, milliseconds`,
        head: ['', 'median', 'p99', 'least', 'most'],
        rows: [[name, ...[middle ?? Number.NaN, ...others].map((value) => fixed(value, 0))]],
      },
    ],
    goals: [{what: `${name}, median`, goal: `${goalMs} ms`, found: `${fixed(middle ?? Number.NaN, 0)} ms`, met: (middle ?? Number.NaN) <= goalMs}],
  };
}

export const failoverSuite = suiteOfParts({
  name: 'failover',
  summary: 'an app whose worker is killed: how long its clients wait',
  defaultRounds: 10,
  quickRounds: 3,
  title: 'Failover',
  parts: [{name: 'killed', summary: 'a worker is killed, its app answers at the other one', run, report}],
});
