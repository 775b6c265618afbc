/** Rules that change fields, of requests and responses alike (HAProxy's manual, section 4.2, `http-request set-header` and so on). */
import type {HeaderAction, HeaderPattern} from '../../config/rules.ts';
import type {SampleContext} from '../samples/context.ts';
import type {Compilers} from './compilers.ts';
import {fieldValue, type Header, withoutHeader} from './message.ts';

export type HeaderEdit = (headers: Header[], context: SampleContext) => Header[];

function nameMatcher({name, method}: HeaderPattern, compilers: Compilers): (name: string) => boolean {
  const wanted = name.toLowerCase();
  switch (method) {
    case 'beg':
      return (text) => text.startsWith(wanted);
    case 'end':
      return (text) => text.endsWith(wanted);
    case 'sub':
      return (text) => text.includes(wanted);
    case 'reg': {
      const pattern = compilers.regex(name, 'i');
      return (text) => pattern.test(text);
    }
    default:
      return (text) => text === wanted;
  }
}

/** `\1` in a replacement is the first group; `\0` all that matched. */
export function expandReferences(template: string, match: RegExpExecArray): string {
  return template.replace(/\\(\d|.)/g, (_all, what: string) => (/\d/.test(what) ? (match[Number(what)] ?? '') : what));
}

/** @param split values of a list are replaced one by one */
function compileReplace(
  action: {readonly name: string; readonly regex: string},
  make: (context: SampleContext) => string,
  options: {compilers: Compilers; split: boolean},
): HeaderEdit {
  const name = action.name.toLowerCase();
  const pattern = options.compilers.regex(action.regex);
  const replace = (value: string, template: string): string => {
    const match = pattern.exec(value);
    return match === null ? value : expandReferences(template, match);
  };
  return (headers, context) => {
    if (!headers.some((header) => header[0] === name)) return headers;
    const template = make(context);
    return headers.map((header): Header => {
      if (header[0] !== name) return header;
      const value = options.split
        ? header[1]
            .split(/,\s*/)
            .map((part) => replace(part, template))
            .join(', ')
        : replace(header[1], template);
      return [name, fieldValue(value)];
    });
  };
}

export function compileHeaderAction(action: HeaderAction, compilers: Compilers): HeaderEdit {
  switch (action.kind) {
    case 'set-header':
    case 'add-header': {
      const name = action.name.toLowerCase();
      const value = compilers.format(action.value, 'message');
      const isSet = action.kind === 'set-header';
      return (headers, context) => {
        const field: Header = [name, fieldValue(value(context))];
        if (!isSet || !headers.some((header) => header[0] === name)) {
          headers.push(field);
          return headers;
        }
        const kept = withoutHeader(headers, name);
        kept.push(field);
        return kept;
      };
    }
    case 'del-header': {
      const matches = nameMatcher(action.pattern, compilers);
      return (headers) => (headers.some((header) => matches(header[0])) ? headers.filter((header) => !matches(header[0])) : headers);
    }
    case 'replace-header':
    case 'replace-value':
      return compileReplace(action, compilers.format(action.value, 'message'), {compilers, split: action.kind === 'replace-value'});
    default:
      return action satisfies never;
  }
}
