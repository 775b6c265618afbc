/** `tcp-request content` rules of a session: they look at the stream until they have decided. */
import {inspectStream} from '../inspect/inspect-stream.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {type ConnectionRule, runRules, type Verdict} from './connection-rules.ts';
import type {SessionContext} from './session-context.ts';

/** What expressions ask about must come in this time where a backend's rules wait and its frontend says nothing. */
const noDelay = {timeoutMs: 0};

interface Content {
  readonly context: SessionContext;
  readonly socket: ByteStream;
  /** What was read before; null: nothing was. */
  readonly known: Buffer | null;
  /** Of `inspect-delay`; null: nothing is waited for. */
  readonly delayMs: number | null;
}

/** @returns with all that was read @throws CodedError ERR_ABANDONED when the connection is lost */
export async function inspectContent(
  rules: readonly ConnectionRule[],
  {context, socket, known, delayMs}: Content,
): Promise<{readonly verdict: Verdict; readonly bytes: Buffer}> {
  const {verdict, bytes} = await inspectStream(
    socket,
    (arrived, isAll) => {
      context.payload = known === null ? arrived : Buffer.concat([known, arrived]);
      context.inspectionEnded = isAll || delayMs === null;
      const decided = runRules(rules, context);
      return decided === 'undecided' ? undefined : decided;
    },
    delayMs === null ? noDelay : {timeoutMs: delayMs},
  );
  context.inspectionEnded = false;
  return {verdict, bytes: known === null ? bytes : Buffer.concat([known, bytes])};
}
