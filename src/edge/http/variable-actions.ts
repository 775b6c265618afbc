/** Rules that keep something for later: variables, captures, and the addresses of the connection. */
import {isIP} from 'node:net';
import type {Capture, HttpRequestAction, SetVariable} from '../../config/rules.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';
import {variableSetter} from '../samples/set-variable.ts';
import type {Compilers} from './compilers.ts';
import type {RuleSubject} from './rule-subject.ts';

export function compileSetVariable(action: SetVariable, compilers: Compilers): (context: SampleContext) => void {
  const {value} = action;
  if (value.kind === 'expression') return variableSetter(action, compilers.expression(value.expression));
  const make = compilers.format(value.format, 'value');
  return variableSetter(action, (context) => ({type: 'str', value: make(context)}));
}

/** As text, as captures and logs show it. */
export function sampleText(value: SampleValue): string | null {
  if (value === null) return null;
  if (value.type === 'bin') return Buffer.from(value.value).toString('latin1');
  if (value.type === 'bool') return value.value ? '1' : '0';
  return String(value.value);
}

export function compileCapture(action: Capture, compilers: Compilers): (context: {captures: (string | null)[]} & SampleContext) => void {
  const evaluate = compilers.expression(action.expression);
  return (context) => {
    const text = sampleText(evaluate(context));
    if (text !== null) context.captures[action.id] = text.slice(0, action.length);
  };
}

type AddressAction = Extract<HttpRequestAction, {kind: 'set-src' | 'set-src-port' | 'set-dst' | 'set-dst-port'}>;

/** What is no address, or no port, changes nothing. */
export function compileSetAddress(action: AddressAction, compilers: Compilers): (context: RuleSubject) => void {
  const evaluate = compilers.expression(action.expression);
  const isPort = action.kind === 'set-src-port' || action.kind === 'set-dst-port';
  const side = action.kind === 'set-src' || action.kind === 'set-src-port' ? 'source' : 'destination';
  return (context) => {
    const text = sampleText(evaluate(context));
    if (text === null) return;
    const address = context.connection[side];
    if (!isPort) {
      if (isIP(text) !== 0) context.setAddress(side, {host: text, port: address.port});
    } else if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) context.setAddress(side, {host: address.host, port: Number(text)});
  };
}
