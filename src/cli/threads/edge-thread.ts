/** What one thread more than the first does: it serves the frontends that are spread, and has an edge of its own for that. */
import {workerData} from 'node:worker_threads';
import {CodedError} from '../../core/errors.ts';
import {createLog} from '../../core/log.ts';
import {countIn} from '../../edge/numbers.ts';
import {endPoller} from '../../edge/polling/poller.ts';
import {SessionLimit} from '../../edge/session-limit.ts';
import {Channel} from './channel.ts';
import {ThreadApps} from './thread-apps.ts';
import {ThreadEdges} from './thread-edges.ts';
import type {FromThread, ThreadData, ToThread} from './thread-messages.ts';
import {threadSockets} from './thread-sockets.ts';

const data = workerData as ThreadData;
countIn(data.numbers);
const limit = new SessionLimit(data.maxconn, data.sessions);
const apps = new ThreadApps(() => channel);
const edges = new ThreadEdges({
  apps,
  sockets: threadSockets(() => channel),
  limit,
  ticketKeys: Buffer.from(data.ticketKeys),
  log: createLog(data.log.level, data.log.form),
});
const channel = new Channel<FromThread, ToThread>(data.port, {told, asked});
limit.crossed = () => channel.tell({kind: 'limit'});
// The first thread ends the process, as it does where the error is its own: a thread that is wrong must not serve anybody.
process.on('uncaughtException', (error) => {
  channel.tell({kind: 'failed', error: error.stack ?? String(error)});
  channel.flush();
});

function told(message: ToThread): void {
  switch (message.kind) {
    case 'stop-accepting':
    case 'server':
    case 'server-added':
    case 'server-removed':
    case 'change':
      edges.told(message);
      break;
    case 'cut':
      edges.cut(message.session);
      break;
    case 'awake':
      apps.changed(message.app, message.awake);
      break;
    case 'moved':
      apps.moved(message.over);
      break;
    case 'maxconn':
      limit.setMaxconn(message.maxconn);
      break;
    case 'limit':
      limit.told();
      break;
    default:
      throw new CodedError('ERR_ASSERTION', `A thread was told "${message.kind}"`, {source: 'bug'});
  }
}

async function asked(message: ToThread): Promise<unknown> {
  switch (message.kind) {
    case 'open':
      if (message.awake !== null) apps.begin(message.awake);
      return edges.open(message.generation, message.config, {copies: message.copies, hasWatch: message.awake !== null});
    case 'drain':
      return edges.drain(message.generation, message.deadlineMs);
    case 'close':
      return edges.close(message.generation);
    case 'places':
      return apps.places();
    case 'snapshot':
      return edges.snapshot(message.sessions);
    case 'end':
      return end();
    default:
      throw new CodedError('ERR_ASSERTION', `A thread was asked "${message.kind}"`, {source: 'bug'});
  }
}

/** The answer is sent before the thread ends, and the event loop has a turn to close what it has. */
async function end(): Promise<void> {
  await edges[Symbol.asyncDispose]();
  setImmediate(() => {
    endPoller();
    channel.close();
    setImmediate(() => process.exit(0));
  });
}
