import {destination, type Logger, pino} from 'pino';

/** A logger; `child({app})` adds fields. Errors are logged once, where they stop. */
export type Log = Logger;

/**
 * JSON lines on standard error, written synchronously so that a crash loses none.
 * @param level one of pino's levels; `silent` for tests.
 */
export function createLog(level: string = process.env['PICOGATE_LOG'] ?? 'info'): Log {
  return pino({level, base: null, timestamp: pino.stdTimeFunctions.isoTime}, destination({fd: 2, sync: true}));
}
