/** The beginning of an answer to a GET. */
export interface Answer {
  /** Of the body. */
  readonly sizeBytes: number;
  /** Where the body begins in the object; undefined when the server does not say, as for whole objects. */
  readonly position: number | undefined;
}

export interface AnswerReader {
  readonly signal: AbortSignal;
  /** Where the body is put, of its size. What it throws, the request rejects with. */
  readonly begin: (answer: Answer) => Buffer;
  /** Told of each piece of the body. */
  readonly arrived: (count: number) => void;
}

/** @param contentRange as in the header */
export function answerOf(sizeBytes: number, contentRange: string | undefined): Answer {
  const position = /^bytes (\d+)-/.exec(contentRange ?? '')?.[1];
  return {sizeBytes, position: position === undefined ? undefined : Number(position)};
}
