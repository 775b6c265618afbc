/** The actions of `http-request`, `http-response` and `http-after-response`. */
import type {Arguments} from '../arguments.ts';
import {atCondition} from '../expression/condition.ts';
import type {HttpRequestAction, HttpResponseAction, WaitForBody} from '../rules.ts';
import {choice} from '../shapes.ts';
import {parseInteger, parseSize, parseTime} from '../units.ts';
import {type ActionFamily, type ActionReader, bare} from './action-table.ts';
import {
  addressActions,
  captureAction,
  countActions,
  headerActions,
  patternActions,
  skipToCondition,
  takeFormat,
  takeHeaderName,
  takeIf,
  takeLogLevel,
  takeRegex,
  trackActions,
  variableActions,
} from './common-actions.ts';
import {readRedirect} from './redirect.ts';
import {readReply} from './reply.ts';

type SetPart = 'set-method' | 'set-path' | 'set-pathq' | 'set-query' | 'set-uri';
type ReplacePart = 'replace-path' | 'replace-pathq' | 'replace-uri';

const setPart =
  (kind: SetPart): ActionReader<HttpRequestAction> =>
  (args) => ({kind, value: takeFormat(args)});

const replacePart =
  (kind: ReplacePart): ActionReader<HttpRequestAction> =>
  (args) => ({kind, regex: takeRegex(args), value: takeFormat(args)});

const reply =
  (kind: 'deny' | 'return' | 'tarpit', status: number): ActionReader<HttpRequestAction> =>
  (args) => ({kind, reply: readReply(args, {status, body: kind === 'return' ? 'none' : 'default'})});

const setLogLevel = (args: Arguments): {readonly kind: 'set-log-level'; readonly level: string} => ({kind: 'set-log-level', level: takeLogLevel(args)});

const auth: ActionReader<HttpRequestAction> = (args) => ({kind: 'auth', realm: takeIf(args, 'realm') === null ? null : args.take('<realm>').text});

const silentDrop = (args: Arguments): {readonly kind: 'silent-drop'} => {
  skipToCondition(args);
  return {kind: 'silent-drop'};
};

const setTimeoutOf: ActionReader<HttpRequestAction> = (args) => {
  const {position} = args.peek() ?? args;
  const which = choice(['client', 'server', 'tunnel']).read(args);
  if (args.scope.section === 'frontend' && which !== 'client') throw args.invalid({text: which, position}, 'a frontend has no servers');
  return {kind: 'set-timeout', which, ms: args.takeParsed('<time>', parseTime)};
};

const useService: ActionReader<HttpRequestAction> = (args) => ({kind: 'use-service', service: choice(['prometheus-exporter']).read(args)});

const waitForBody: ActionReader<WaitForBody> = (args) => {
  let timeMs: number | null = null;
  let atLeastBytes = 0;
  while (!atCondition(args)) {
    const word = args.take('<option>');
    if (word.text === 'time') timeMs = args.takeParsed('<time>', parseTime);
    else if (word.text === 'at-least') atLeastBytes = args.takeParsed('<size>', parseSize);
    else throw args.invalid(word, "'time' and 'at-least' are possible");
  }
  if (timeMs === null) throw args.invalid({text: 'wait-for-body', position: args.position}, "'time' is expected");
  return {kind: 'wait-for-body', timeMs, atLeastBytes};
};

export const httpRequestActions: ActionFamily<HttpRequestAction> = {
  actions: {
    ...headerActions,
    ...variableActions,
    ...trackActions,
    ...countActions,
    ...patternActions,
    ...addressActions,
    capture: captureAction('request'),
    redirect: readRedirect,
    allow: bare('allow'),
    reject: bare('reject'),
    'silent-drop': silentDrop,
    deny: reply('deny', 403),
    return: reply('return', 200),
    tarpit: reply('tarpit', 500),
    auth,
    'early-hint': (args) => ({kind: 'early-hint', name: takeHeaderName(args), value: takeFormat(args)}),
    'set-method': setPart('set-method'),
    'set-path': setPart('set-path'),
    'set-pathq': setPart('set-pathq'),
    'set-query': setPart('set-query'),
    'set-uri': setPart('set-uri'),
    'replace-path': replacePart('replace-path'),
    'replace-pathq': replacePart('replace-pathq'),
    'replace-uri': replacePart('replace-uri'),
    'set-log-level': setLogLevel,
    'set-timeout': setTimeoutOf,
    'use-service': useService,
    'wait-for-body': waitForBody,
  },
  later: `do-resolve disable-l7-retry normalize-uri
    sc-add-gpc send-spoe-group set-mark set-tos set-priority-class set-priority-offset set-bc-mark set-fc-mark
    set-bc-tos set-fc-tos set-retries`.split(/\s+/),
  ignored: ['cache-use', 'set-nice', 'strict-mode', 'wait-for-handshake'],
};

const setStatus: ActionReader<HttpResponseAction> = (args) => {
  const status = args.takeParsed('<status>', (text) => parseInteger(text, {min: 100, max: 999}));
  return {kind: 'set-status', status, reason: takeIf(args, 'reason') === null ? null : args.take('<reason>').text};
};

const responseReply =
  (kind: 'deny' | 'return', status: number): ActionReader<HttpResponseAction> =>
  (args) => ({kind, reply: readReply(args, {status, body: kind === 'return' ? 'none' : 'default'})});

const laterInResponses = `sc-add-gpc send-spoe-group set-mark set-tos
  set-fc-mark set-fc-tos set-timeout silent-drop track-sc0 track-sc1 track-sc2 do-log`.split(/\s+/);

export const httpResponseActions: ActionFamily<HttpResponseAction> = {
  actions: {
    ...headerActions,
    ...variableActions,
    ...countActions,
    ...patternActions,
    capture: captureAction('response'),
    redirect: readRedirect,
    allow: bare('allow'),
    deny: responseReply('deny', 502),
    return: responseReply('return', 200),
    'set-status': setStatus,
    'set-log-level': setLogLevel,
    'wait-for-body': waitForBody,
  },
  later: laterInResponses,
  ignored: ['cache-store', 'set-nice', 'strict-mode'],
};

export const httpAfterResponseActions: ActionFamily<HttpResponseAction> = {
  actions: {
    ...headerActions,
    ...variableActions,
    capture: captureAction('response'),
    allow: bare('allow'),
    'set-status': setStatus,
    'set-log-level': setLogLevel,
  },
  later: laterInResponses,
  ignored: ['strict-mode'],
};
