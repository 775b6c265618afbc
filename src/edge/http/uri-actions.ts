/** Rules that change the request line. */
import type {HttpRequestAction} from '../../config/rules.ts';
import type {SampleContext} from '../samples/context.ts';
import type {Compilers} from './compilers.ts';
import {expandReferences} from './header-actions.ts';
import {byteString, type RequestHead} from './message.ts';
import {joinTarget, splitTarget} from './target.ts';

type UriAction = Extract<
  HttpRequestAction,
  {kind: 'set-method' | 'set-path' | 'set-pathq' | 'set-query' | 'set-uri' | 'replace-path' | 'replace-pathq' | 'replace-uri'}
>;
type UriPart = 'path' | 'pathq' | 'query' | 'uri';

/** What a request line may hold of a made-up text: visible characters; other bytes as their codes. */
function lineSafe(text: string): string {
  if (/^[\x21-\x7e]*$/.test(text)) return text;
  return byteString(text).replace(/[^\x21-\x7e]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

function partOf(uri: string, part: UriPart): string {
  const {path, query} = splitTarget(uri);
  switch (part) {
    case 'uri':
      return uri;
    case 'path':
      return path;
    case 'pathq':
      return query === null ? path : `${path}?${query}`;
    case 'query':
      return query ?? '';
    default:
      return part satisfies never;
  }
}

function withPart(uri: string, part: UriPart, text: string): string {
  const parts = splitTarget(uri);
  switch (part) {
    case 'uri':
      return text;
    case 'path':
      return joinTarget({...parts, path: text});
    case 'pathq':
      return parts.prefix + text;
    case 'query': {
      const query = text.startsWith('?') ? text.slice(1) : text;
      return joinTarget({...parts, query: query === '' ? null : query});
    }
    default:
      return part satisfies never;
  }
}

const setParts = {'set-path': 'path', 'set-pathq': 'pathq', 'set-query': 'query', 'set-uri': 'uri'} as const;
const replaceParts = {'replace-path': 'path', 'replace-pathq': 'pathq', 'replace-uri': 'uri'} as const;

/** What becomes empty is left as it was: there is no request without a target. */
export function compileUriAction(action: UriAction, compilers: Compilers): (request: RequestHead, context: SampleContext) => void {
  const value = compilers.format(action.value, 'message');
  if (action.kind === 'set-method') {
    return (request, context) => {
      const method = value(context);
      if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method)) request.method = method;
    };
  }
  if ('regex' in action) {
    const part = replaceParts[action.kind];
    const pattern = compilers.regex(action.regex);
    return (request, context) => {
      const match = pattern.exec(partOf(request.uri, part));
      if (match === null) return;
      request.uri = lineSafe(withPart(request.uri, part, expandReferences(value(context), match))) || request.uri;
    };
  }
  const part = setParts[action.kind];
  return (request, context) => {
    request.uri = lineSafe(withPart(request.uri, part, value(context))) || request.uri;
  };
}
