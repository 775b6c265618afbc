/** Numbers that no other connection, or request, of the process has: its threads count together. */

/** What all threads count in; until there are several, each number is this thread's. */
let shared: Int32Array<SharedArrayBuffer> | null = null;
const place = {connections: 0, requests: 1} as const;
const own = {connections: 0, requests: 0};

function next(of: keyof typeof place): number {
  return shared === null ? ++own[of] : (Atomics.add(shared, place[of], 1) + 1) >>> 0;
}

/** For a session. Over 32 bits, where several threads count, numbers begin anew, as HAProxy's do. */
export function nextConnectionId(): number {
  return next('connections');
}

/** How many there were, those of clients that were refused included. */
export function connectionCount(): number {
  return shared === null ? own.connections : Atomics.load(shared, place.connections) >>> 0;
}

/** Of a request of mode http. */
export function nextRequestNumber(): number {
  return next('requests');
}

/** What other threads are to count in too. */
export function sharedNumbers(): SharedArrayBuffer {
  return (shared ?? countIn(new SharedArrayBuffer(8))).buffer;
}

/** From now on. */
export function countIn(numbers: SharedArrayBuffer): Int32Array<SharedArrayBuffer> {
  const counts = new Int32Array(numbers);
  Atomics.add(counts, place.connections, own.connections);
  Atomics.add(counts, place.requests, own.requests);
  shared = counts;
  return counts;
}
