import {CodedError} from '../../core/errors.ts';
import type {Assignment} from '../pool/assignment.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {connectServer, type MannersOf, type ServerRequest} from './server-connections.ts';

export interface ConnectOptions extends Pick<ServerRequest, 'backend' | 'context' | 'clock' | 'onSocket'> {
  readonly mannersOf: MannersOf;
  /** Aborted when the client has left. */
  readonly signal: () => AbortSignal;
  readonly connected: (connectMs: number) => void;
}

/** Connects to the server of an assignment, or to those that it gets when that fails. @throws CodedError as `Assignment.retry` does */
export async function connectAssigned(assignment: Assignment, options: ConnectOptions): Promise<ByteStream> {
  const {backend, mannersOf, context, clock, onSocket, signal, connected} = options;
  const made = (socket: ByteStream): void => {
    assignment.connects(() => socket.destroy(new CodedError('ERR_MOVED', 'the app is not there any more', {source: 'server', retryable: true})));
    onSocket(socket);
  };
  while (true) {
    const beganMs = clock.monotonicMs();
    try {
      if (assignment.isOver) throw new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'});
      const {config: server} = assignment.server ?? {};
      if (server === undefined) throw new CodedError('ERR_ASSERTION', 'A session with a place has no server', {source: 'bug'});
      const socket = await connectServer({backend, server, endpoint: assignment.endpoint, manners: mannersOf(server), context, clock, onSocket: made});
      const connectMs = clock.monotonicMs() - beganMs;
      connected(connectMs);
      assignment.connected(connectMs);
      return socket;
    } catch (error) {
      await assignment.retry(error, signal());
    }
  }
}
