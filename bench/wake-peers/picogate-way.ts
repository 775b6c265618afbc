/** The servers as apps of a gateway: through a `mode tcp` frontend, with predicted pages. */
import type {BenchGateway} from '../bench-gateway.ts';
import {timedAnswer} from '../client.ts';
import {phaseValues} from '../wake-phases.ts';
import {type Server, serverPort} from './servers.ts';
import type {Way} from './way.ts';

const answerTimeoutMs = 180_000;
/** Wakes before the first measured one: the predicted set is then settled. */
const trainingWakes = 4;

export interface PicogateApp {
  readonly server: Server;
  readonly rootfs: string;
  /** Of a frontend on 127.0.0.1. */
  readonly port: number;
}

/** @param programs with the tests' fixtures */
export function renderApps(apps: readonly PicogateApp[], programs: string): string {
  const sections = apps.map(
    ({server: {id, exec}, rootfs, port}) => `app ${id}
    rootfs ${rootfs}
    exec ${exec}
    volume ${programs}:/srv:ro
    expose tcp ${serverPort}
    timeout wake ${answerTimeoutMs}ms
frontend ${id}
    bind 127.0.0.1:${port}
    default_backend ${id}
backend ${id}
    server s app:${id}:${serverPort}
`,
  );
  return sections.join('\n');
}

/** Starts the app, wakes it a few times, and leaves it asleep. */
export async function openApp(gateway: BenchGateway, {server, port}: PicogateApp, {cold}: {readonly cold: boolean}): Promise<Way> {
  const ask = async (): ReturnType<typeof timedAnswer> => timedAnswer(port, server.question, answerTimeoutMs);
  if (server.fill !== undefined) await timedAnswer(port, server.fill, answerTimeoutMs);
  for (let wake = 0; wake <= trainingWakes; wake++) {
    await ask();
    await gateway.hibernate(server.id, {cold});
  }
  return {
    name: 'Picogate',
    reads: [gateway.storeDir],
    async wake() {
      const {firstByteMs, answerMs} = await ask();
      const {installedPages} = await gateway.paging(server.id);
      const {lastWake, lastHibernate} = await gateway.hibernate(server.id, {cold});
      if (lastWake === null || lastHibernate === null) throw new Error(`${server.id} has no record of its wake`);
      return {
        firstByteMs,
        answerMs,
        gatewayMs: lastWake.ms,
        edgeMs: firstByteMs - lastWake.ms,
        ...phaseValues(lastWake),
        faults: lastWake.faults,
        installedPages: installedPages ?? lastWake.predictedPages,
        ...(lastHibernate.pageCount !== undefined && {memoryBytes: lastHibernate.pageCount * 4096}),
      };
    },
  };
}
