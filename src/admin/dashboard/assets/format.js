/** Numbers and times for people. */

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** @param {number | null | undefined} count */
export function bytes(count) {
  if (count === null || count === undefined) return '–';
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** @param {number | null | undefined} ms */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return span(ms);
}

/** Coarse: minutes, hours, days. @param {number} ms */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d`;
}

/** @param {number | null | undefined} at @param {number} now */
export function ago(at, now) {
  return at === null || at === undefined ? '–' : now - at < 5000 ? 'just now' : `${span(now - at)} ago`;
}

/** @param {number | null | undefined} count */
export function number(count) {
  return (count ?? 0).toLocaleString('en');
}

/** @param {number} at */
export function clockTime(at) {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** What one sees of a state. */
const states = {
  running: {word: 'awake', look: 'awake'},
  reviving: {word: 'waking', look: 'moving'},
  draining: {word: 'falling asleep', look: 'moving'},
  checkpointing: {word: 'falling asleep', look: 'moving'},
  hibernated: {word: 'asleep', look: 'asleep'},
  stopped: {word: 'not started', look: 'stopped'},
  failed: {word: 'failed', look: 'failed'},
};

/** @param {string} state */
export function stateOf(state) {
  return states[state] ?? {word: state, look: 'stopped'};
}

const residences = {
  hot: 'in memory',
  warm: 'on this host',
  'warm+stored': 'on this host and in the store',
  cold: 'in the store only',
  none: 'nothing stored yet',
};

/** @param {string} residence */
export function residenceOf(residence) {
  return residences[residence] ?? residence;
}
