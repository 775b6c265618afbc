/** The fields that `show info` and `show stat` print, in HAProxy's typed and JSON forms (management manual, section 9.2). */

export type FieldType = 'u32' | 's32' | 'u64' | 'str';

export interface FieldDefinition {
  /** HAProxy's number of it. */
  readonly position: number;
  readonly name: string;
  /** Origin, nature and scope, one letter each. */
  readonly tags: string;
  readonly type: FieldType;
}

export type FieldValue = string | number | null;

const origins: Readonly<Record<string, string>> = {M: 'Metric', S: 'Status', K: 'Key', C: 'Config', P: 'Product'};
const natures: Readonly<Record<string, string>> = {
  G: 'Gauge',
  L: 'Limit',
  m: 'Min',
  M: 'Max',
  R: 'Rate',
  C: 'Counter',
  D: 'Duration',
  A: 'Age',
  T: 'Time',
  N: 'Name',
  O: 'Output',
  a: 'Avg',
};
const scopes: Readonly<Record<string, string>> = {C: 'Cluster', P: 'Process', S: 'Service', s: 'System'};

/** `4.scur.1:MGP:u32:0`, without what comes before it. */
export function typedField({position, name, tags, type}: FieldDefinition, value: string | number): string {
  return `${position}.${name}.1:${tags}:${type}:${oneLine(value)}`;
}

/** An object that JSON.stringify() prints with HAProxy's keys in HAProxy's order; `before` comes first. */
export function jsonField({position, name, tags, type}: FieldDefinition, value: string | number, before: Readonly<Record<string, unknown>> = {}): unknown {
  const [origin = '', nature = '', scope = ''] = tags;
  return {
    ...before,
    field: {pos: position, name},
    processNum: 1,
    tags: {origin: origins[origin] ?? 'Unknown', nature: natures[nature] ?? 'Unknown', scope: scopes[scope] ?? 'Unknown'},
    value: {type, value},
  };
}

/** Whoever reads answers line by line must not be misled by a value. */
export function oneLine(value: string | number): string {
  return typeof value === 'number' ? String(value) : value.replaceAll(/[\r\n]+/g, ' ');
}
