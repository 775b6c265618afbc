/** Answers that are made here: `http-request return | deny | tarpit`, `http-error`. */
import {type Arguments, ConfigError} from '../arguments.ts';
import {atCondition} from '../expression/condition.ts';
import {readFormat} from '../expression/log-format.ts';
import {resolveInScope} from '../expression/sample-expression.ts';
import {readHostFile} from '../host-files.ts';
import type {Word} from '../lex.ts';
import type {HeaderField, ReplyAction} from '../rules.ts';
import {refer} from '../scope.ts';
import {didYouMean} from '../suggestion.ts';
import {parseInteger} from '../units.ts';
import {takeFormat} from './common-actions.ts';

interface Draft {
  status: number;
  contentType: string | null;
  body: ReplyAction['body'] | null;
  readonly headers: HeaderField[];
}

const optionNames = ['status', 'deny_status', 'content-type', 'default-errorfiles', 'errorfile', 'errorfiles', 'file', 'lf-file', 'string', 'lf-string', 'hdr'];

/**
 * Reads the options of an answer up to a condition.
 * @param fallback the status, and what is the body, when the line does not say
 */
export function readReply(args: Arguments, fallback: {readonly status: number; readonly body: 'none' | 'default'}): ReplyAction {
  const draft: Draft = {status: fallback.status, contentType: null, body: null, headers: []};
  while (!atCondition(args)) readOption(args, args.take('<option>'), draft);
  // As in HAProxy: fields of its own make it an answer of its own, without a body unless it names one.
  const isOwn = draft.headers.length > 0 || (draft.contentType !== null && fallback.body !== 'default');
  const body = draft.body ?? {kind: isOwn ? ('none' as const) : fallback.body};
  const hasText = body.kind === 'text' ? body.text !== '' : body.kind === 'format';
  if (hasText && draft.contentType === null) {
    throw new ConfigError(`'${args.keyword}': a content-type must be defined when there is a payload`, args.position, args.keyword);
  }
  return {status: draft.status, contentType: draft.contentType, body, headers: draft.headers};
}

function readOption(args: Arguments, option: Word, draft: Draft): void {
  const setBody = (body: ReplyAction['body']): void => {
    if (draft.body !== null) throw args.invalid(option, 'the payload is already defined');
    draft.body = body;
  };
  switch (option.text) {
    case 'status':
    case 'deny_status':
      draft.status = args.takeParsed('<code>', (text) => parseInteger(text, {min: 200, max: 599}));
      return;
    case 'content-type':
      draft.contentType = args.take('<type>').text;
      return;
    case 'default-errorfiles':
      setBody({kind: 'default'});
      return;
    case 'errorfile':
      setBody({kind: 'errorfile', path: takeFile(args).path});
      return;
    case 'errorfiles': {
      const section = args.take('<http-errors>');
      refer(args.scope, 'http-errors', section);
      setBody({kind: 'errorfiles', section: section.text, position: section.position});
      return;
    }
    case 'file':
      setBody({kind: 'text', text: takeFile(args).text});
      return;
    case 'lf-file': {
      const {text, word} = takeFile(args);
      setBody({kind: 'format', format: readFormat({text, position: word.position}, args.scope, 'value')});
      return;
    }
    case 'string':
      setBody({kind: 'text', text: args.take('<text>').text});
      return;
    case 'lf-string':
      setBody({kind: 'format', format: takeFormat(args)});
      return;
    case 'hdr':
      draft.headers.push({name: args.take('<name>').text, value: takeFormat(args)});
      return;
    default:
      throw args.invalid(option, `unknown option of an answer${didYouMean(option.text, optionNames)}`);
  }
}

/** @throws ConfigError for a file that cannot be read */
export function takeFile(args: Arguments): {readonly path: string; readonly text: string; readonly word: Word} {
  const word = args.take('<file>');
  const path = resolveInScope(word, args.scope);
  return {path, text: readHostFile(path, word, args.scope), word};
}
