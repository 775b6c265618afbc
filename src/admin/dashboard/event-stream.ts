/** Server-sent events: a board, and what changes on it, for one viewer. A slow one gets less often what it would have got, and costs no memory. */
import type {Clock} from '../../core/clock.ts';
import type {LiveBoard} from './live-board.ts';

/** A piece of a message ends when it is as long as this: ten thousand apps are megabytes, between whose pieces others get their turn. */
const pieceLength = 64 * 1024;
/** So that proxies between do not take it for dead. */
const heartbeatMs = 15_000;

export interface EventSink {
  /** False: wait until it is drained. */
  write(chunk: Buffer): boolean;
  end(): void;
}

export interface EventStreamOptions {
  readonly live: LiveBoard;
  readonly clock: Clock;
  readonly sink: EventSink;
  /** What the viewer is told of itself, in the first event. */
  readonly you: unknown;
  /** Items that this viewer may see. */
  readonly isVisible: (item: string) => boolean;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #unwatch: () => void;
  #seen = -1;
  #isBlocked = false;
  /** What is left of the message that is being sent. */
  #pieces: Iterator<string> | undefined;
  #turn: NodeJS.Immediate | undefined;
  #cancel: (() => void) | undefined;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#unwatch = options.live.watch(() => this.#send());
    this.#beat();
  }

  drained(): void {
    this.#isBlocked = false;
    this.#send();
  }

  /** The viewer has gone, or is sent away. */
  close(): void {
    this.#unwatch();
    clearImmediate(this.#turn);
    this.#isBlocked = true;
    this.#cancel?.();
  }

  /** Ends the answer: a browser connects again by itself. */
  end(): void {
    this.close();
    this.#options.sink.end();
  }

  #send(): void {
    if (this.#isBlocked || this.#turn !== undefined) return;
    const piece = this.#nextPiece();
    if (piece === undefined) return;
    this.#write(`event: change\ndata: ${piece}\n\n`);
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#send();
    });
  }

  /** Undefined: the viewer knows everything. */
  #nextPiece(): string | undefined {
    const {live, isVisible, you} = this.#options;
    const next = this.#pieces?.next();
    if (next?.done === false) return next.value;
    if (live.board.version === this.#seen) return undefined;
    this.#pieces = boardPieces(live, {seen: Math.max(0, this.#seen), isVisible, ...(this.#seen === -1 ? {you} : {})}, pieceLength);
    this.#seen = live.board.version;
    const first = this.#pieces.next();
    return first.done === true ? undefined : first.value;
  }

  #beat(): void {
    this.#cancel = this.#options.clock.after(heartbeatMs, () => {
      if (!this.#isBlocked) this.#write(':\n\n');
      this.#beat();
    });
  }

  #write(text: string): void {
    this.#isBlocked = !this.#options.sink.write(Buffer.from(text));
  }
}

interface Viewed {
  readonly seen: number;
  readonly isVisible: (item: string) => boolean;
  readonly you?: unknown;
}

/** What has changed since `seen`, as JSON in one line. */
export function boardJson(live: LiveBoard, viewed: Viewed): string {
  return [...boardPieces(live, viewed, Number.POSITIVE_INFINITY)].join('');
}

/** The same in several such objects, each about as long as said, to be applied one after the other. */
function* boardPieces(live: LiveBoard, {seen, isVisible, you}: Viewed, length: number): Generator<string> {
  const {version, set, gone} = live.board.since(seen);
  let own = `${you === undefined ? '' : `"you":${JSON.stringify(you)},`}"whole":${seen === 0},"gone":${JSON.stringify(gone.filter(isVisible))}`;
  const piece = (items: readonly string[]): string => `{${own},"now":${Date.now()},"version":${version},"set":{${items.join(',')}}}`;
  let items: string[] = [];
  let lengthSoFar = 0;
  for (const [name, value] of set) {
    if (!isVisible(name)) continue;
    const item = `${JSON.stringify(name)}:${value}`;
    items.push(item);
    lengthSoFar += item.length;
    if (lengthSoFar < length) continue;
    yield piece(items);
    own = '"whole":false,"gone":[]';
    items = [];
    lengthSoFar = 0;
  }
  yield piece(items);
}
