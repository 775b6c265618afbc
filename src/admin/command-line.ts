/**
 * Bytes from a client of the runtime API to commands: lines of commands between `;`, words between blanks, `\` before what shall not separate,
 * and `<<` at the end of a line for a payload that an empty line ends (management manual, section 9.3).
 */

/** HAProxy's buffer is as long. */
export const maxLineBytes = 16_384;
export const maxPayloadBytes = 1024 * 1024;
/** HAProxy ignores what comes after so many. */
const maxWords = 64;

export interface Request {
  /** Empty for an empty command. */
  readonly words: readonly string[];
  readonly payload: string | null;
}

export type Read =
  | {readonly kind: 'request'; readonly request: Request; readonly endsLine: boolean}
  /** A line of a payload, which an interactive client is asked to go on with. */
  | {readonly kind: 'payload-line'}
  | {readonly kind: 'too-long'};

const newline = 10;

/** Remembers what has not ended yet: a line, and the lines of a payload. */
export class CommandReader {
  #partial: Buffer = Buffer.alloc(0);
  #payload: {readonly words: readonly string[]; readonly lines: string[]; bytes: number} | null = null;

  /** Nothing more is read after `too-long`. */
  *read(chunk: Buffer): Generator<Read> {
    let rest = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    this.#partial = Buffer.alloc(0);
    for (let end = rest.indexOf(newline); end !== -1; end = rest.indexOf(newline)) {
      if (end > maxLineBytes) {
        yield {kind: 'too-long'};
        return;
      }
      yield* this.#line(rest.subarray(0, end).toString('utf8').replace(/\r$/, ''));
      rest = rest.subarray(end + 1);
    }
    if (rest.length > maxLineBytes) yield {kind: 'too-long'};
    else this.#partial = Buffer.from(rest);
  }

  *#line(line: string): Generator<Read> {
    if (this.#payload !== null) {
      yield* this.#payloadLine(this.#payload, line);
      return;
    }
    const commands = splitCommands(line);
    for (const [index, command] of commands.entries()) {
      const words = splitWords(command);
      if (words.at(-1) === '<<' && index === commands.length - 1) {
        this.#payload = {words: words.slice(0, -1), lines: [], bytes: 0};
        yield {kind: 'payload-line'};
      } else {
        yield {kind: 'request', request: {words, payload: null}, endsLine: index === commands.length - 1};
      }
    }
  }

  *#payloadLine(payload: {readonly words: readonly string[]; readonly lines: string[]; bytes: number}, line: string): Generator<Read> {
    if (line === '') {
      this.#payload = null;
      yield {kind: 'request', request: {words: payload.words, payload: payload.lines.map((text) => `${text}\n`).join('')}, endsLine: true};
      return;
    }
    payload.bytes += line.length + 1;
    payload.lines.push(line);
    yield payload.bytes > maxPayloadBytes ? {kind: 'too-long'} : {kind: 'payload-line'};
  }
}

function splitCommands(line: string): readonly string[] {
  const commands: string[] = [];
  let start = 0;
  for (let at = 0; at < line.length; at++) {
    if (line[at] === '\\') at++;
    else if (line[at] === ';') {
      commands.push(line.slice(start, at));
      start = at + 1;
    }
  }
  return [...commands, line.slice(start)];
}

function splitWords(command: string): readonly string[] {
  return [...command.matchAll(/(?:\\.?|[^ \t\\])+/g)].slice(0, maxWords).map(([word]) => word.replaceAll(/\\(.?)/g, '$1'));
}
