/** Variables of the process that no session sets: those of `global`, and those of the runtime API. */
import type {SetVariable} from '../../config/rules.ts';
import type {SampleCompiler} from './compile.ts';
import type {Surroundings, Variables} from './context.ts';
import {noSession} from './no-session.ts';
import {compileVariableValue, variableSetter} from './set-variable.ts';
import {createProcessVariables} from './variables.ts';

interface Parts {
  readonly compiler: SampleCompiler;
  readonly surroundings: Surroundings;
}

/** In the order of the lines: one may ask for those before it. @throws CodedError of the compiler */
export function openProcessVariables(settings: readonly SetVariable[], parts: Parts): Variables {
  const processVariables = createProcessVariables();
  for (const setting of settings) setProcessVariable(setting, {...parts, processVariables});
  return processVariables;
}

/** Evaluated now. @throws CodedError of the compiler */
export function setProcessVariable(setting: SetVariable, {compiler, surroundings, processVariables}: Parts & {readonly processVariables: Variables}): void {
  const store = variableSetter(setting, compileVariableValue(setting.value, compiler));
  store({...noSession(Date.now()), response: null, variables: processVariables, surroundings});
}
