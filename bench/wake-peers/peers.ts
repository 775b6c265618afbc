/** Stock CRIU and a start from nothing, each with a container of its own. The client connects from the first moment on, as one that is held would. */
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {TimedAnswer} from '../client.ts';
import {firstAnswer} from './namespace-client.ts';
import {openPeerContainer, type PeerContainer} from './peer-container.ts';
import {type Server, serverPort} from './servers.ts';
import {StockCriu} from './stock-criu.ts';
import type {Way} from './way.ts';

const answerTimeoutMs = 180_000;
/** A server that has just answered is still closing the connection, which a dump would find. */
const settleMs = 200;
/** One that fills a gigabyte takes a minute on a busy machine. */
const startsMax = 5;

interface Found extends TimedAnswer {
  /** Until `make` said that the server runs. */
  readonly madeMs: number;
}

/** Asks while `make` brings the server to life. */
async function ask({netnsPath}: PeerContainer, server: Server, make: () => Promise<void>): Promise<Found> {
  const failed = new AbortController();
  const waiting = {netnsPath, port: serverPort, timeoutMs: answerTimeoutMs, signal: failed.signal};
  const startedMs = performance.now();
  const making = make().then(
    () => performance.now() - startedMs,
    (error: unknown) => {
      failed.abort(error);
      throw error;
    },
  );
  const [answer, made] = await Promise.allSettled([firstAnswer(waiting, server.question), making]);
  if (made.status === 'rejected') throw made.reason;
  if (answer.status === 'rejected') throw answer.reason;
  return {...answer.value, madeMs: made.value};
}

function valuesOf({firstByteMs, answerMs, madeMs}: Found): Record<string, number> {
  return {firstByteMs, answerMs, madeMs};
}

/** @param directory must exist. Containers are disposed with `scope`. */
export async function openPeers(server: Server, directory: string, scope: AsyncDisposableStack): Promise<Way[]> {
  const place = join(directory, server.id);
  mkdirSync(place);
  const container = scope.use(await openPeerContainer(server, {directory: place, use: 'criu'}));
  await ask(container, server, () => container.start());
  const {netnsPath} = container;
  if (server.fill !== undefined)
    await firstAnswer({netnsPath, port: serverPort, timeoutMs: answerTimeoutMs, signal: AbortSignal.timeout(answerTimeoutMs)}, server.fill);
  await sleep(settleMs);
  const criu = new StockCriu(container, join(place, 'stock'));
  await criu.dump();
  const fresh = scope.use(await openPeerContainer(server, {directory: place, use: 'new'}));
  const ending = async (used: PeerContainer, found: Promise<Found>): Promise<Record<string, number>> => {
    try {
      return valuesOf(await found);
    } finally {
      await used.end();
    }
  };
  return [
    {
      name: 'criu restore',
      reads: [criu.imagesDir],
      wake: async () =>
        ending(
          container,
          ask(container, server, () => criu.restore({lazy: false})),
        ),
    },
    {
      name: 'criu lazy-pages',
      reads: [criu.imagesDir],
      async wake() {
        // It waits for the restore already, which is not counted.
        await using _pages = await criu.serveLazily();
        return await ending(
          container,
          ask(container, server, () => criu.restore({lazy: true})),
        );
      },
    },
    {
      name: 'started anew',
      reads: [],
      roundsMax: startsMax,
      wake: async () =>
        ending(
          fresh,
          ask(fresh, server, () => fresh.start()),
        ),
    },
  ];
}
