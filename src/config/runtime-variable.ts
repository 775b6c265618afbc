/** A variable of the process that the runtime API sets: its words are those of a line of `global`. */
import {CodedError} from '../core/errors.ts';
import {checkFiles} from './load.ts';
import {quotedWord} from './quoted-word.ts';
import type {SetVariable} from './rules.ts';

/** @throws CodedError ERR_BAD_VARIABLE with what is wrong with the words */
export function parseRuntimeVariable(name: string, {kind, text}: {readonly kind: 'expression' | 'format'; readonly text: string}): SetVariable {
  // A frontend, since a configuration of nothing is none.
  const line = `  ${kind === 'format' ? 'set-var-fmt' : 'set-var'} ${quotedWord(name)} ${quotedWord(text)}\n`;
  const {config, diagnostics} = checkFiles([{path: 'stats socket', text: `global\n${line}frontend none\n  bind 127.0.0.1:1\n`}], {});
  const wrong = diagnostics.find(({level, position}) => level === 'alert' && position.line === variableLine);
  const variable = config?.global.process.variables[0];
  if (wrong !== undefined || variable === undefined) throw new CodedError('ERR_BAD_VARIABLE', wrong?.message ?? 'no variable', {source: 'client'});
  return variable;
}

const variableLine = 2;
