/**
 * What clients and operators of an app saw while workers died and were cut off, and what must hold of it. Times are of one clock. Each client waits
 * for an answer before it asks again, so a request was answered by an instance at some moment between `fromMs` and `toMs`.
 */
export interface Answered {
  readonly fromMs: number;
  readonly toMs: number;
  /** Of the app; no two have the same name. */
  readonly instance: string;
  /** Where that instance ran. */
  readonly worker: string;
}

export type Entry =
  | (Answered & {readonly kind: 'write'; readonly value: string})
  | (Answered & {readonly kind: 'read'; readonly values: readonly string[]})
  /** Asked for, and nobody knows whether it was done. */
  | {readonly kind: 'unanswered write'; readonly value: string}
  /** A checkpoint in the store was acknowledged: what was written before it was asked for is safe, wherever it is. */
  | {readonly kind: 'durable'; readonly fromMs: number; readonly toMs: number}
  /** A worker was killed, or could not extend its leases: what it had not brought to the store may be lost. */
  | {readonly kind: 'fault'; readonly worker: string; readonly fromMs: number; readonly toMs: number}
  | {readonly kind: 'lease'; readonly atMs: number; readonly token: number; readonly worker: string | null};

type Write = Extract<Entry, {kind: 'write'}>;
type Read = Extract<Entry, {kind: 'read'}>;

export interface Verdict {
  /** What must not be; empty when all is well. */
  readonly violations: readonly string[];
  /** Acknowledged writes that are gone, as they may be. */
  readonly lost: readonly string[];
}

function only<Kind extends Entry['kind']>(entries: readonly Entry[], kind: Kind): Extract<Entry, {kind: Kind}>[] {
  return entries.filter((entry): entry is Extract<Entry, {kind: Kind}> => entry.kind === kind);
}

/** Judges a history: one owner at a time, and nothing lost but what may be. */
export function check(entries: readonly Entry[]): Verdict {
  const [writes, reads] = [only(entries, 'write'), only(entries, 'read')];
  const {violations, lost} = checkWrites(writes, reads, entries);
  return {violations: [...checkOwners([...writes, ...reads]), ...checkLeases(only(entries, 'lease')), ...checkReads(reads, entries), ...violations], lost};
}

/** An instance that answers, then another one, then the first one again: two of them were there. */
function checkOwners(answers: readonly (Write | Read)[]): string[] {
  const spans = new Map<string, {firstToMs: number; lastFromMs: number}>();
  for (const {instance, fromMs, toMs} of answers) {
    const {firstToMs, lastFromMs} = spans.get(instance) ?? {firstToMs: toMs, lastFromMs: fromMs};
    spans.set(instance, {firstToMs: Math.min(firstToMs, toMs), lastFromMs: Math.max(lastFromMs, fromMs)});
  }
  const found = new Set<string>();
  for (const {instance, fromMs, toMs, worker} of answers) {
    for (const [other, {firstToMs, lastFromMs}] of spans) {
      if (other === instance || firstToMs > fromMs || lastFromMs < toMs) continue;
      found.add(`two owners: ${other} answered before ${firstToMs} and after ${lastFromMs}, ${instance} on ${worker} from ${fromMs} to ${toMs}`);
    }
  }
  return [...found];
}

function checkLeases(leases: readonly Extract<Entry, {kind: 'lease'}>[]): string[] {
  const found: string[] = [];
  const owners = new Map<number, string>();
  let newest = 0;
  for (const {token, worker, atMs} of [...leases].sort((a, b) => a.atMs - b.atMs)) {
    if (token < newest) found.push(`fencing token ${token} after ${newest}, at ${atMs}`);
    newest = Math.max(newest, token);
    if (worker === null) continue;
    const owner = owners.get(token);
    if (owner !== undefined && owner !== worker) found.push(`fencing token ${token} of ${owner} and of ${worker}`);
    owners.set(token, worker);
  }
  return found;
}

function checkReads(reads: readonly Read[], entries: readonly Entry[]): string[] {
  const asked = new Set([...only(entries, 'write'), ...only(entries, 'unanswered write')].map(({value}) => value));
  return reads.flatMap(({values, toMs}) => [
    ...values.filter((value) => !asked.has(value)).map((value) => `read at ${toMs}: ${value}, which nobody wrote`),
    ...(new Set(values).size < values.length ? [`read at ${toMs}: a value twice, of ${values.join(' ')}`] : []),
  ]);
}

function checkWrites(writes: readonly Write[], reads: readonly Read[], entries: readonly Entry[]): {violations: string[]; lost: string[]} {
  const [faults, checkpoints] = [only(entries, 'fault'), only(entries, 'durable')];
  const violations: string[] = [];
  const lost: string[] = [];
  const seen = reads.map((read) => ({...read, has: new Set(read.values)})).sort((a, b) => a.fromMs - b.fromMs);
  for (const {value, worker, fromMs, toMs} of writes) {
    const later = seen.filter((read) => read.fromMs >= toMs);
    const gone = later.find(({has}) => !has.has(value));
    if (gone === undefined) continue;
    lost.push(value);
    const isFault = (untilMs: number): boolean => faults.some((fault) => fault.worker === worker && fault.toMs >= fromMs && fault.fromMs <= untilMs);
    const durable = checkpoints.find((one) => one.fromMs >= toMs && one.toMs <= gone.fromMs && !isFault(one.toMs));
    const what = `${value}, acknowledged by ${worker} at ${toMs}, is not in the read from ${gone.fromMs}`;
    if (durable !== undefined) violations.push(`lost although durable since ${durable.toMs}: ${what}`);
    else if (!isFault(gone.toMs)) violations.push(`lost though its worker had no fault: ${what}`);
    const back = later.find(({has, fromMs: at}) => at >= gone.toMs && has.has(value));
    if (back !== undefined) violations.push(`back from the dead at ${back.toMs}: ${what}`);
  }
  return {violations, lost};
}
