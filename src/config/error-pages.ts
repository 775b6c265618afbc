/** Pages of sections `http-errors`, which answers name before or after the section stands in the file. */
import type {Diagnostic} from './diagnostic.ts';
import type {HttpRequestAction, HttpResponseAction, ReplyAction, Rule} from './rules.ts';

export interface ErrorPageSources {
  /** By the name of the section, then by status. */
  readonly errorPages: ReadonlyMap<string, ReadonlyMap<number, string>>;
  readonly report: (diagnostic: Diagnostic) => void;
}

/** Where the section has no page for the status the answer has no body, as HAProxy's. */
export function withPage(reply: ReplyAction, {errorPages, report}: ErrorPageSources): ReplyAction {
  const {body, status} = reply;
  if (body.kind !== 'errorfiles') return reply;
  const pages = errorPages.get(body.section);
  const path = pages?.get(status);
  if (path !== undefined) return {...reply, body: {kind: 'errorfile', path}};
  // Without the section, that is said elsewhere.
  if (pages !== undefined) {
    const message = `status '${status}' has no page in section 'http-errors ${body.section}', it is sent without a body`;
    report({level: 'warning', position: body.position, word: body.section, message});
  }
  return {...reply, body: {kind: 'none'}};
}

export function withPages<Action extends HttpRequestAction | HttpResponseAction>(
  rules: readonly Rule<Action>[],
  sources: ErrorPageSources,
): readonly Rule<Action>[] {
  return rules.map((rule) => {
    const {action} = rule;
    return 'reply' in action ? {...rule, action: {...action, reply: withPage(action.reply, sources)}} : rule;
  });
}
