/** One client of the runtime API: reads commands, carries them out one after the other, and answers. */
import {once} from 'node:events';
import type {Socket} from 'node:net';
import type {Clock} from '../core/clock.ts';
import type {Answer, Level, StatsSocketFacts} from './command.ts';
import {CommandReader, type Request} from './command-line.ts';
import {carryOut} from './commands.ts';
import type {GatewayControl} from './gateway-control.ts';
import {handOverListeners} from './hand-over-listeners.ts';

export interface StatsConnectionOptions {
  readonly socket: Socket;
  readonly control: GatewayControl;
  readonly level: Level;
  /** `expose-fd listeners` */
  readonly exposesListeners: boolean;
  /** All stats sockets, for `show cli sockets`. */
  readonly sockets: readonly StatsSocketFacts[];
  readonly timeoutMs: number;
  /** What an interactive client sees: `> `. */
  readonly prompt: string;
  readonly clock: Clock;
}

/** An answer in many pieces is written in chunks of about this size. */
const chunkLength = 16_384;

interface ConnectionState {
  level: Level;
  timeoutMs: number;
  interactive: boolean;
  ended: boolean;
}

/** Serves until the client has its answer (or says `quit`, when it has asked for a prompt), leaves, or is silent for too long. Never throws. */
export async function serveStatsConnection(options: StatsConnectionOptions): Promise<void> {
  const {socket, clock} = options;
  const state: ConnectionState = {level: options.level, timeoutMs: options.timeoutMs, interactive: false, ended: false};
  const reader = new CommandReader();
  let cancel = clock.after(state.timeoutMs, () => socket.destroy());
  const waitForClient = (): void => {
    cancel();
    cancel = clock.after(state.timeoutMs, () => socket.destroy());
  };
  try {
    // The answer may still be on its way when the last command has been read.
    for await (const chunk of socket.iterator({destroyOnReturn: false})) {
      cancel();
      let lineEnded = false;
      for (const read of reader.read(chunk as Buffer)) {
        if (read.kind === 'too-long') return;
        if (read.kind === 'payload-line') {
          if (state.interactive) socket.write('+ ');
          continue;
        }
        await answer(options, state, read.request, waitForClient);
        if (state.ended) return;
        lineEnded = read.endsLine;
      }
      // HAProxy too carries out what came together with the first line.
      if (lineEnded && !state.interactive) return;
      waitForClient();
    }
  } catch {
    // The client has gone; there is nobody to tell.
  } finally {
    cancel();
    socket.end();
    // What it has still to take it must take in time.
    if (!socket.destroyed) {
      const give = clock.after(state.timeoutMs, () => socket.destroy());
      socket.once('close', give);
    }
  }
}

async function answer(options: StatsConnectionOptions, state: ConnectionState, request: Request, waitForClient: () => void): Promise<void> {
  const {socket, control, sockets, exposesListeners} = options;
  if (request.words[0] === '_getsocks') {
    state.ended = true;
    if (exposesListeners) await handOverListeners(socket, control.handOverListeners());
    return;
  }
  const asked = {sessions: request.words.some((word) => word.startsWith('sess'))};
  await control.synchronize(asked);
  const text = await carryOut({
    control,
    sockets,
    level: state.level,
    words: request.words,
    args: [],
    payload: request.payload,
    setLevel: (level) => {
      state.level = level;
    },
    setTimeoutMs: (timeoutMs) => {
      state.timeoutMs = timeoutMs;
    },
    togglePrompt: () => {
      state.interactive = !state.interactive;
    },
    quit: () => {
      state.ended = true;
    },
  });
  if (state.ended) return;
  await control.synchronize(asked);
  await write(socket, text, state.interactive ? `\n${options.prompt}` : '\n', waitForClient);
}

async function write(socket: Socket, answerText: Answer, end: string, waitForClient: () => void): Promise<void> {
  let chunk = '';
  const flush = async (): Promise<void> => {
    if (socket.write(chunk)) return;
    waitForClient();
    await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
    if (socket.destroyed) throw new Error('closed');
  };
  for (const piece of typeof answerText === 'string' ? [answerText] : answerText) {
    chunk += piece;
    if (chunk.length < chunkLength) continue;
    await flush();
    chunk = '';
  }
  chunk += end;
  await flush();
}
