import {destination, type Logger, pino} from 'pino';

/** A logger; `child({app})` adds fields. Errors are logged once, where they stop. */
export type Log = Logger;

/** As lines of JSON, or for people: `2026-11-08T10:50:42.174Z WARN the message app=wiki error="no such file"`. */
export type LogForm = 'json' | 'text';

/**
 * Lines on standard error, written synchronously so that a crash loses none.
 * @param level one of pino's levels; `silent` for tests.
 */
export function createLog(level: string = process.env['PICOGATE_LOG'] ?? 'info', form: LogForm = 'json'): Log {
  const stderr = destination({fd: 2, sync: true});
  const options = {level, base: null, timestamp: pino.stdTimeFunctions.isoTime};
  return form === 'json' ? pino(options, stderr) : pino(options, {write: (line) => void stderr.write(textOf(line))});
}

/** Of a line of JSON. */
export function textOf(line: string): string {
  const {time, level, msg, ...fields} = JSON.parse(line) as {readonly time: string; readonly level: number; readonly msg?: string};
  const label = pino.levels.labels[level] ?? String(level);
  return `${[time, label.toUpperCase(), ...(msg === undefined ? [] : [msg]), ...Object.entries(fields).map(fieldText)].join(' ')}\n`;
}

function fieldText([name, value]: readonly [string, unknown]): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `${name}=${/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`;
}
