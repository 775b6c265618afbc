/** Expressions in health checks, which no client has asked for: compiled when a check is made, and what they may ask about. */
import type {ConnectStep, Expectation, TcpCheckStep, VariableStep} from '../../config/health.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {ResponseFacts, SampleContext, Surroundings, Variables} from '../samples/context.ts';
import {noSession} from '../samples/no-session.ts';
import {compileVariableValue, variableSetter} from '../samples/set-variable.ts';
import {toInteger} from '../samples/value.ts';
import {createCheckVariables} from '../samples/variables.ts';

export interface CheckSamples {
  readonly compiler: SampleCompiler;
  readonly processVariables: Variables;
  readonly surroundings: Surroundings;
}

/** Of one check; the answer is what has come of it since something was sent. */
export interface CheckContext extends SampleContext {
  response: ResponseFacts | null;
  responsePayload: Uint8Array;
}

const noBytes = new Uint8Array();

/** For one check of a server, with variables of its own. */
export function openCheckContext({processVariables, surroundings}: CheckSamples, names: {readonly backend: string; readonly server: string}): CheckContext {
  return {
    ...names,
    ...noSession(0),
    responsePayload: noBytes,
    response: null,
    variables: createCheckVariables(processVariables),
    surroundings,
  };
}

/** @throws CodedError of the compiler */
export function compileVariableStep(step: VariableStep, compiler: SampleCompiler): (context: CheckContext) => void {
  if (step.kind === 'unset-var') return ({variables}) => variables.unset(step.name);
  return variableSetter(step, compileVariableValue(step.value, compiler));
}

/** The function yields the step as it is at that moment. @throws CodedError of the compiler */
export function compileConnectStep(step: ConnectStep, compiler: SampleCompiler): (context: CheckContext) => ConnectStep {
  if (step.portExpression === null) return () => step;
  const sample = compiler.compileExpression(step.portExpression);
  return (context) => {
    const value = sample(context);
    const port = value === null ? null : toInteger(value);
    return port === null || port === 0 ? step : {...step, port: port & 65_535};
  };
}

export function isVariableStep(step: TcpCheckStep | Expectation): step is VariableStep {
  return step.kind === 'set-var' || step.kind === 'unset-var';
}
