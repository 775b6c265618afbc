/** How the outcome of an expectation is told: in which words, as which status, with which number. */
import type {Expectation} from '../../config/health.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import {toInteger, toText} from '../samples/value.ts';
import type {CheckFinding, CheckStatus} from './check-result.ts';
import type {CheckContext} from './check-samples.ts';

export interface Outcome {
  /** @param usual what is told where the configuration says nothing else */
  passed(context: CheckContext, usual: CheckFinding): CheckFinding;
  failed(context: CheckContext, usual: CheckFinding): CheckFinding;
  readonly late: CheckStatus;
  /** Of an answer that is empty, or cannot be judged. */
  readonly unreadable: CheckStatus;
}

/** @throws CodedError of the compiler */
export function compileOutcome({report = {}, comment}: Pick<Expectation, 'report' | 'comment'>, compiler: SampleCompiler): Outcome {
  const {passedStatus, failedStatus, lateStatus = 'L7TOUT', onSuccess, onError, code} = report;
  const successText = onSuccess === undefined ? null : compiler.compileFormat(onSuccess, 'value');
  const errorText = onError === undefined ? null : compiler.compileFormat(onError, 'value');
  const sample = code === undefined ? null : compiler.compileExpression(code);
  const suffix = comment === null ? '' : ` comment: ${comment}`;
  const codeOf = (context: CheckContext, usual: number): number => {
    const value = sample?.(context) ?? null;
    if (value === null) return usual;
    return toInteger(value.type === 'bin' ? {type: 'str', value: toText(value)} : value) ?? usual;
  };
  return {
    passed: (context, usual) => ({
      status: passedStatus ?? usual.status,
      code: codeOf(context, usual.code),
      info: successText === null ? usual.info : successText(context),
    }),
    failed: (context, usual) => ({
      status: failedStatus ?? usual.status,
      code: codeOf(context, usual.code),
      info: `${errorText === null ? usual.info : errorText(context)}${suffix}`,
    }),
    late: lateStatus,
    unreadable: failedStatus ?? 'L7RSP',
  };
}
