/** Fields between our lists and the objects of node:http2. */
import type {IncomingHttpHeaders, OutgoingHttpHeaders} from 'node:http2';
import type {Header} from './message.ts';

/** Without pseudo fields; a name that occurs twice has a list of values. */
export function toFields(headers: readonly Header[]): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {};
  for (const [name, value] of headers) {
    const known = fields[name];
    if (known === undefined) fields[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else fields[name] = [String(known), value];
  }
  return fields;
}

export function fromPairs(headers: IncomingHttpHeaders): Header[] {
  const fields: Header[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || value === undefined) continue;
    if (Array.isArray(value)) for (const one of value) fields.push([name, one]);
    else fields.push([name, value]);
  }
  return fields;
}
