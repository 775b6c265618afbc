/** `redirect` (HAProxy's manual, section 4.2): where to, how, and with which cookie. */
import type {RedirectAction} from '../../config/rules.ts';
import type {RequestFacts, SampleContext} from '../samples/context.ts';
import type {Compilers} from './compilers.ts';
import {fieldValue, type Header} from './message.ts';
import {type LocalReply, reasonOf} from './reply.ts';
import {splitTarget} from './target.ts';

const empty = Buffer.alloc(0);

function pathOf(request: RequestFacts, dropQuery: boolean): string {
  const {path, query} = splitTarget(request.uri);
  return query === null || dropQuery ? path : `${path}?${query}`;
}

function hostOf(request: RequestFacts): string {
  return request.headers.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? '';
}

/** Null: the rule says to go on, because the location is empty. */
export function compileRedirect(action: RedirectAction, compilers: Compilers): (context: SampleContext) => LocalReply | null {
  const value = compilers.format(action.value, 'message');
  const temporary = action.code !== 301 && action.code !== 308;
  const tail: Header[] = temporary ? [['cache-control', 'no-cache']] : [];
  if (action.setCookie !== null) tail.push(['set-cookie', `${action.setCookie}; path=/;`]);
  if (action.clearCookie !== null) tail.push(['set-cookie', `${action.clearCookie}; path=/; Max-Age=0;`]);
  const complete = (location: string): string => (action.appendSlash && !location.endsWith('/') ? `${location}/` : location);
  const locate = (context: SampleContext): string => {
    const text = value(context);
    const {request} = context;
    if (action.to === 'location' || request === null) return text;
    if (action.to === 'scheme') return complete(`${text}://${hostOf(request)}${pathOf(request, action.dropQuery)}`);
    return complete(`${text === '/' ? '' : text}${pathOf(request, action.dropQuery)}`);
  };
  return (context) => {
    const location = locate(context);
    if (action.ignoreEmpty && location === '') return null;
    return {status: action.code, reason: reasonOf(action.code), headers: [['location', fieldValue(location)], ...tail], body: empty};
  };
}
