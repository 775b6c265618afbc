/** `show stat` in its three forms, and the same for the statistics page. */
import {jsonField, oneLine, typedField} from './field.ts';
import {haproxyFieldCount, statFields, statHeader} from './stat-fields.ts';
import type {StatRow} from './stat-rows.ts';

/** @returns lines, each with its end: HAProxy's header, then a row each */
export function* statCsv(rows: Iterable<StatRow>): Generator<string> {
  yield `${statHeader}\n`;
  for (const {values} of rows) {
    const cells = statFields.map(({name}) => csvCell(values[name] ?? ''));
    yield `${[...cells.slice(0, haproxyFieldCount), '-', ...cells.slice(haproxyFieldCount)].join(',')},\n`;
  }
}

/** One line for each value that is known; an empty line after each row. */
export function* statTyped(rows: Iterable<StatRow>): Generator<string> {
  for (const row of rows) {
    const letter = row.objectType.slice(0, 1);
    const lines = knownFields(row).map(({field, value}) => `${letter}.${row.proxyId}.${row.id}.${typedField(field, value)}\n`);
    yield `${lines.join('')}\n`;
  }
}

export function* statJson(rows: Iterable<StatRow>): Generator<string> {
  yield '[';
  let separator = '';
  for (const row of rows) {
    const before = {objType: row.objectType, proxyId: row.proxyId, id: row.id};
    yield `${separator}${JSON.stringify(knownFields(row).map(({field, value}) => jsonField(field, value, before)))}`;
    separator = ',';
  }
  yield ']\n';
}

function knownFields({values}: StatRow): {field: (typeof statFields)[number]; value: string | number}[] {
  return statFields.flatMap((field) => {
    const value = values[field.name] ?? null;
    return value === null ? [] : [{field, value}];
  });
}

/** RFC 4180; HAProxy quotes the same characters. */
function csvCell(value: string | number): string {
  const text = oneLine(value);
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
