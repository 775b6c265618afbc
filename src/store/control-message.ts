/** What a command for the gateway, and its answer, look like on their way. */
import {CodedError, type ErrorSource, errorCode, errorMessage} from '../core/errors.ts';
import {type Json, parseJson} from './json.ts';

/** Runs one command. What it throws goes back to the caller. `signal` aborts when the caller has given up, or the gateway stops. */
export type ControlHandler = (args: Json, signal: AbortSignal) => Promise<Json>;

export interface Request {
  readonly command: string;
  readonly args: Json;
  readonly timeoutMs: number;
}

export type Answer =
  | {readonly ok: true; readonly value: Json}
  | {readonly ok: false; readonly code: string; readonly message: string; readonly source: ErrorSource; readonly retryable: boolean};

export function parseRequest(text: string): Request | null {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || !('command' in value) || !('args' in value) || !('timeoutMs' in value)) return null;
  const {command, args, timeoutMs} = value;
  return typeof command === 'string' && typeof timeoutMs === 'number' ? {command, args, timeoutMs} : null;
}

const sources: readonly ErrorSource[] = ['client', 'server', 'host', 'bug'];

function parseAnswer(text: string): Answer | null {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || !('ok' in value)) return null;
  if (value.ok === true) return {ok: true, value: 'value' in value ? (value.value ?? null) : null};
  if (!('code' in value) || !('message' in value) || !('source' in value)) return null;
  const {code, message} = value;
  const source = sources.find((known) => known === value.source);
  if (typeof code !== 'string' || typeof message !== 'string' || source === undefined) return null;
  return {ok: false, code, message, source, retryable: 'retryable' in value && value.retryable === true};
}

function failure(error: unknown): Answer {
  const coded = error instanceof CodedError ? error : null;
  return {
    ok: false,
    code: errorCode(error) ?? 'ERR_UNEXPECTED',
    message: errorMessage(error),
    source: coded?.source ?? 'bug',
    retryable: coded?.retryable ?? false,
  };
}

/** Runs it. Never throws. */
export async function resultOf(handlers: ReadonlyMap<string, ControlHandler>, {command, args}: Request, signal: AbortSignal): Promise<Answer> {
  try {
    const handler = handlers.get(command);
    if (handler === undefined) {
      throw new CodedError('ERR_UNKNOWN_COMMAND', `Cannot run command "${command}": this gateway does not know it`, {source: 'client'});
    }
    return {ok: true, value: await handler(args, signal)};
  } catch (error) {
    return failure(error);
  }
}

/** @throws CodedError as the handler threw it, ERR_BAD_STATE */
export function readAnswer(command: string, text: string): Json {
  const result = parseAnswer(text);
  if (result === null) throw new CodedError('ERR_BAD_STATE', `Cannot run command "${command}": its answer cannot be read`, {source: 'host'});
  if (result.ok) return result.value;
  throw new CodedError(result.code, result.message, {source: result.source, retryable: result.retryable});
}

export function noGateway(command: string, timeoutMs: number): CodedError {
  return new CodedError('ERR_NO_GATEWAY', `Cannot run command "${command}": no gateway took it within ${timeoutMs} ms; is it running?`, {
    source: 'host',
    retryable: true,
  });
}
