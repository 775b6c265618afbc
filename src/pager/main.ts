/**
 * The pager process: serves the gateway that started it, over the channel between parent and child. It keeps nothing that it could not lose:
 * when it is killed, faults wait, and the next one goes on.
 */
import {once} from 'node:events';
import {pino} from 'pino';
import {lowerHelperThreads} from '../core/helper-threads.ts';
import type {Log} from '../core/log.ts';
import {openPagerService} from './pager-service.ts';
import type {PagerMessage, PagerMethod, PagerRequest, PagerSecrets, PagerService, PagerSettings} from './protocol.ts';
import {remoteError} from './remote-error.ts';

function send(message: PagerMessage): void {
  // Without a parent nobody is to be told anything; `disconnect` ends us.
  if (process.connected) process.send?.(message);
}

const levels = {10: 'debug', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'error'} as const;

/** A log whose lines the gateway writes. */
function forwardedLog(): Log {
  return pino(
    {base: null, timestamp: false, level: process.env['PICOGATE_LOG'] ?? 'info'},
    {
      write(line: string) {
        const {level, msg, ...fields} = JSON.parse(line) as {level: keyof typeof levels; msg: string} & Record<string, unknown>;
        send({kind: 'log', level: levels[level], fields, message: msg});
      },
    },
  );
}

async function answer(service: PagerService, request: PagerRequest): Promise<void> {
  const {id, method} = request;
  try {
    const methods = service as unknown as Readonly<Record<PagerMethod, (argument: unknown) => Promise<unknown>>>;
    send({kind: 'result', id, value: (await methods[method](request.argument)) ?? null});
  } catch (error) {
    send({kind: 'error', id, error: remoteError(error)});
  }
  if (method === 'stop') process.disconnect();
}

async function main(): Promise<void> {
  lowerHelperThreads();
  const settings = JSON.parse(process.argv[2] ?? '') as PagerSettings;
  const [{encryptionKeys}] = (await once(process, 'message')) as [PagerSecrets];
  const service = await openPagerService(
    {...settings, encryptionKeys},
    {
      log: forwardedLog(),
      onLost: (instance, reason, damaged = false) => send({kind: 'lost', instance, reason, damaged}),
      onPlacement: (app, placement) => send({kind: 'placement', app, placement}),
      onTierEvent: (app, event, message) => send({kind: 'tier', app, event, message}),
      onBroken: (reason) => {
        send({kind: 'log', level: 'error', fields: {reason}, message: 'the fault worker ended'});
        process.exit(1);
      },
    },
  );
  process.on('message', (request: PagerRequest) => void answer(service, request));
  send({kind: 'ready'});
}

// A parent that is gone without a word was killed: the apps are to wait for the next gateway, so nothing is put away.
process.on('disconnect', () => process.exit(0));
try {
  await main();
} catch (error) {
  send({kind: 'unable', error: remoteError(error)});
  process.exitCode = 1;
  process.disconnect();
}
