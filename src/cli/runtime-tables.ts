/** Stick tables as the runtime API sees them. */
import type {TableControl, TableEntry} from '../admin/gateway-control.ts';
import {setEntry} from '../edge/stick/set-entry.ts';
import {stickKeyFromText} from '../edge/stick/stick-key.ts';
import type {StickEntry, StickTable} from '../edge/stick/stick-table.ts';
import {readData, shownName} from '../edge/stick/stored-data.ts';

/** @param nowMs of Clock.monotonicMs */
export function tableControl(table: StickTable, nowMs: number): TableControl {
  const {name, config, fields} = table;
  const find = (key: string): StickEntry | null => {
    const wanted = stickKeyFromText(config, key);
    return wanted === null ? null : table.find(wanted);
  };
  const shown = (entry: StickEntry): TableEntry => ({
    key: printable(entry.key),
    expiresInMs: Number.isFinite(entry.expiresAtMs) ? Math.max(0, entry.expiresAtMs - nowMs) : null,
    uses: entry.references,
    data: new Map(
      fields.map(({name: field, periodMs}, index) => [
        periodMs === null ? shownName(field) : `${shownName(field)}(${periodMs})`,
        readData(entry.data[index] ?? 0, nowMs),
      ]),
    ),
  });
  return {
    name,
    type: config.type,
    size: config.size,
    get used() {
      return table.used;
    },
    stores: table.storedNames,
    *entries() {
      for (const entry of table.entries()) yield shown(entry);
    },
    get(key) {
      const entry = find(key);
      return entry === null ? null : shown(entry);
    },
    set: (key, data) => setEntry(table, key, Object.fromEntries(data)),
    remove(key) {
      const entry = find(key);
      return entry !== null && table.remove(entry);
    },
  };
}

/** A key may be anything that a client sent. */
function printable(key: string): string {
  return key.replace(/[^\x20-\x7e]|\\/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
