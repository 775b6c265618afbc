/** `set-var` of rules and health checks. */
import type {SetVariable} from '../../config/rules.ts';
import type {SampleCompiler} from './compile.ts';
import type {SampleContext, SampleValue} from './context.ts';
import {mayStore} from './variable-conditions.ts';

/** As in HAProxy, a variable stays what it was when nothing is found. */
export function variableSetter(
  {name, conditions}: Pick<SetVariable, 'name' | 'conditions'>,
  evaluate: (context: SampleContext) => SampleValue,
): (context: SampleContext) => void {
  return (context) => {
    const found = evaluate(context);
    if (found !== null && mayStore(context.variables, {name, conditions}, found)) context.variables.set(name, found);
  };
}

/** @throws CodedError of the compiler */
export function compileVariableValue(value: SetVariable['value'], compiler: SampleCompiler): (context: SampleContext) => SampleValue {
  if (value.kind === 'expression') return compiler.compileExpression(value.expression);
  const format = compiler.compileFormat(value.format, 'value');
  return (context) => ({type: 'str', value: format(context)});
}
