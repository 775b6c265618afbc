/** `wake-rate 10/1m`: so many wakes in a period, of one app or caused by one source; unused ones may come in one burst. */
export interface WakeRate {
  readonly wakes: number;
  readonly periodMs: number;
}
