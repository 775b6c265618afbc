/** As much of HTTP/1 as a health check reads: one answer, whose body ends by length, by chunks, or with the connection (RFC 9112). */

export interface HttpAnswer {
  readonly status: number;
  readonly reason: string;
  /** `1.1` */
  readonly version: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** What has come of it, without chunk framing. */
  readonly body: string;
  readonly isComplete: boolean;
}

/** Null: the head is not complete; `invalid`: it never will be. @param ended no more bytes come */
export function readHttpAnswer(received: Buffer, ended: boolean): HttpAnswer | 'invalid' | null {
  const text = received.toString('latin1');
  if (!'HTTP/1.'.startsWith(text.slice(0, 7))) return 'invalid';
  const head = /\r?\n\r?\n/.exec(text);
  if (head === null) return ended ? 'invalid' : null;
  const [statusLine = '', ...lines] = text.slice(0, head.index).split(/\r?\n/);
  const match = /^HTTP\/(1\.[0-9]) ([1-9][0-9]{2})(?: (.*))?$/.exec(statusLine);
  if (match === null) return 'invalid';
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const);
  const body = readBody(text.slice(head.index + head[0].length), headers);
  const [, version = '', status, reason = ''] = match;
  return {status: Number(status), reason, version, headers, body: body.text, isComplete: body.isComplete || ended};
}

function readBody(text: string, headers: HttpAnswer['headers']): {readonly text: string; readonly isComplete: boolean} {
  const header = (wanted: string): string | undefined => headers.find(([name]) => name === wanted)?.[1];
  if (header('transfer-encoding')?.toLowerCase() === 'chunked') return readChunks(text);
  const length = header('content-length');
  if (length === undefined || !/^\d+$/.test(length)) return {text, isComplete: false};
  return {text: text.slice(0, Number(length)), isComplete: text.length >= Number(length)};
}

function readChunks(text: string): {readonly text: string; readonly isComplete: boolean} {
  let body = '';
  let at = 0;
  while (true) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return {text: body, isComplete: false};
    const length = Number.parseInt(text.slice(at, lineEnd), 16);
    if (!(length > 0)) return {text: body, isComplete: true};
    body += text.slice(lineEnd + 2, lineEnd + 2 + length);
    at = lineEnd + 2 + length + 2;
    if (at > text.length) return {text: body, isComplete: false};
  }
}
