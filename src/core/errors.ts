/** Who has to act on an error: the client of the gateway, the server behind it, the operator of the host, or us. */
export type ErrorSource = 'client' | 'server' | 'host' | 'bug';

export interface ErrorDetail {
  readonly source: ErrorSource;
  /** True only when nothing has happened yet, or repeating is harmless. Default false. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/** Every error that Picogate throws on purpose. Callers branch on `code`, never on `message`. */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly source: ErrorSource;
  readonly retryable: boolean;

  constructor(code: Code, message: string, detail: ErrorDetail) {
    super(message, {cause: detail.cause});
    this.name = new.target.name;
    this.code = code;
    this.source = detail.source;
    this.retryable = detail.retryable ?? false;
  }
}

/** The code of an error of ours or of Node (`ENOENT`, `ERR_BAD_LEASE`), or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The message of anything thrown, followed by those of its causes: `Cannot wake app "a": ...: ENOSPC`. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause === undefined) return error.message;
  const cause = errorMessage(error.cause);
  return error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}

/** Throws a bug when `condition` does not hold: for what only an error of ours can break. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new CodedError('ERR_ASSERTION', message, {source: 'bug'});
}
