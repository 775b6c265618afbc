/** Server-sent events: a board, and what changes on it, for one viewer. A slow one gets less often what it would have got, and costs no memory. */
import type {Clock} from '../../core/clock.ts';
import type {LiveBoard} from './live-board.ts';

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
    this.#cancel?.();
  }

  /** Ends the answer: a browser connects again by itself. */
  end(): void {
    this.close();
    this.#options.sink.end();
  }

  #send(): void {
    const {live, you} = this.#options;
    if (this.#isBlocked || live.board.version === this.#seen) return;
    const first = this.#seen === -1;
    const text = boardJson(live, {seen: Math.max(0, this.#seen), isVisible: this.#options.isVisible, ...(first ? {you} : {})});
    this.#write(`event: change\ndata: ${text}\n\n`);
    this.#seen = live.board.version;
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

/** What has changed since `seen`, as JSON in one line. */
export function boardJson(live: LiveBoard, {seen, isVisible, you}: {seen: number; isVisible: (item: string) => boolean; you?: unknown}): string {
  const {version, set, gone} = live.board.since(seen);
  const items = [...set].flatMap(([name, json]) => (isVisible(name) ? [`${JSON.stringify(name)}:${json}`] : []));
  const own = you === undefined ? '' : `"you":${JSON.stringify(you)},`;
  return `{${own}"now":${Date.now()},"version":${version},"whole":${seen === 0},"set":{${items.join(',')}},"gone":${JSON.stringify(gone.filter(isVisible))}}`;
}
