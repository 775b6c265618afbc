/** `option httpchk`: requests, each on a connection of its own, and what is expected of their answers (HAProxy manual, `http-check`). */
import type {ConnectStep, Expectation, HealthCheck, HttpCheckRequest, HttpExchange} from '../../config/health.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {CheckConnection} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import {type CheckFinding, type CheckStatus, checkVerdict} from './check-result.ts';
import {type CheckContext, compileConnectStep, compileVariableStep, isVariableStep} from './check-samples.ts';
import {compileHeaderFormats, compileStatus, compileText, compileWanted} from './expectation.ts';
import {type HttpAnswer, readHttpAnswer} from './http-answer.ts';
import {compileOutcome, type Outcome} from './outcome.ts';

export type HttpCheckConfig = Extract<HealthCheck, {kind: 'http'}>;

export interface HttpCheck {
  /**
   * @param open makes the connection of a step; null: that of the server
   * @param options.timeoutMs for the answer that is waited for next
   * @param options.isUp a 404 takes only a server that is up out of balance
   */
  run(
    open: (step: ConnectStep | null) => Promise<CheckConnection>,
    options: {readonly timeoutMs: () => number; readonly isUp: boolean; readonly context: CheckContext},
  ): Promise<CheckFinding>;
}

type Verdict = {readonly hasPassed: boolean; readonly finding: CheckFinding} | 'done' | null;
/** What is wrong with an answer; null: more of it is needed. */
type Judge = (answer: HttpAnswer, context: CheckContext) => CheckFinding | 'passed' | null;

/** An expectation, or a variable, with which it is `done`; null: more is needed. */
interface Step {
  /** @param answer null: nothing is known of it yet */
  take(answer: HttpAnswer | null, context: CheckContext): Verdict;
  readonly late: CheckStatus;
}

/** @throws CodedError of the compiler */
export function compileHttpCheck({exchanges, disableOn404}: HttpCheckConfig, compiler: SampleCompiler): HttpCheck {
  const compiled = exchanges.map(({connect, first, before, request, expect}) => ({
    connect: connect === null ? () => null : compileConnectStep(connect, compiler),
    first: first.map((step) => compileVariableStep(step, compiler)),
    before: before.map((step) => compileVariableStep(step, compiler)),
    render: request === null ? null : compileRequest(request, compiler),
    steps: compileSteps(expect, compiler),
  }));
  return {
    async run(open, {timeoutMs, isUp, context}) {
      let finding: CheckFinding = {status: 'L4OK', code: 0, info: '(tcp-check)'};
      for (const {connect, first, before, render, steps} of compiled) {
        for (const act of first) act(context);
        using connection = await open(connect(context));
        context.response = null;
        for (const act of before) act(context);
        if (render === null) {
          finding = {status: connection.isSecured ? 'L6OK' : 'L4OK', code: 0, info: '(tcp-check)'};
          continue;
        }
        connection.send(Buffer.from(render(context), 'latin1'));
        const order = inOrder(steps, context, disableOn404 && isUp);
        finding = await connection
          .receive(() => order.judge(connection), timeoutMs())
          .catch((error: unknown) => {
            throw error instanceof CheckFailure && error.finding.status === 'L7TOUT' ? new CheckFailure(order.late(), error.finding.info) : error;
          });
        if (checkVerdict(finding) === 'failed') return finding;
      }
      return finding;
    },
  };
}

function compileSteps(expect: HttpExchange['expect'], compiler: SampleCompiler): readonly Step[] {
  const steps = expect.map((step): Step => {
    if (!isVariableStep(step)) return ofAnswer(compileJudge(step, compiler), compileOutcome(step, compiler));
    const act = compileVariableStep(step, compiler);
    return {
      take(_answer, context) {
        act(context);
        return 'done';
      },
      late: 'L7TOUT',
    };
  });
  const goodStatus = judgeStatus((status) => status >= 200 && status < 400);
  return expect.every(isVariableStep) ? [...steps, ofAnswer(goodStatus, compileOutcome({comment: null}, compiler))] : steps;
}

function bytesOf({body, isComplete}: HttpAnswer): Uint8Array | null {
  return body === '' && !isComplete ? null : Buffer.from(body, 'latin1');
}

function ofAnswer(judge: Judge, outcome: Outcome): Step {
  return {
    take(answer, context) {
      const wrong = answer === null ? null : judge(answer, context);
      if (answer === null || wrong === null) return null;
      if (wrong === 'passed') return {hasPassed: true, finding: outcome.passed(context, {status: 'L7OK', code: answer.status, info: ''})};
      return {hasPassed: false, finding: outcome.failed(context, {...wrong, code: answer.status})};
    },
    late: outcome.late,
  };
}

interface Order {
  judge(connection: CheckConnection): CheckFinding | null;
  /** How it is called that what is waited for now has not come. */
  late(): CheckStatus;
}

/** Each step is done once, when those before it have passed. `judge` throws CheckFailure L7RSP. */
function inOrder(steps: readonly Step[], context: CheckContext, missingIsStopping: boolean): Order {
  let passed = 0;
  let last: CheckFinding | null = null;
  return {
    judge({received, ended}) {
      const answer = readHttpAnswer(received, ended);
      if (answer === 'invalid') throw new CheckFailure('L7RSP', '');
      if (missingIsStopping && answer?.status === 404) return {status: 'L7OKC', code: 404, info: ''};
      for (const step of steps.slice(passed)) {
        context.response = answer === null ? null : {...answer, body: bytesOf(answer)};
        const verdict = step.take(answer, context);
        if (verdict === null) return null;
        if (verdict !== 'done' && !verdict.hasPassed) return verdict.finding;
        if (verdict !== 'done') last = verdict.finding;
        passed++;
      }
      return answer === null ? null : (last ?? {status: 'L7OK', code: answer.status, info: ''});
    },
    late: () => steps[passed]?.late ?? 'L7TOUT',
  };
}

function compileJudge(expectation: Expectation, compiler: SampleCompiler): Judge {
  const {negated} = expectation;
  switch (expectation.kind) {
    case 'status': {
      const matches = compileStatus(expectation);
      return judgeStatus((status) => matches(status) !== negated);
    }
    case 'header': {
      const matches = compileHeaderFormats(expectation, compiler);
      return (answer, context) => (matches(answer.headers, context) !== negated ? 'passed' : wrongStatus(answer));
    }
    case 'string':
    case 'binary': {
      const matches = compileContent(expectation, compiler);
      return (answer, context) => {
        if (matches(answer.body, context)) return negated ? {status: 'L7RSP', code: 0, info: 'HTTP check matched unwanted content'} : 'passed';
        if (!answer.isComplete) return null;
        return negated ? 'passed' : {status: 'L7RSP', code: 0, info: 'HTTP content check did not match'};
      };
    }
    default:
      return expectation.kind satisfies never;
  }
}

function compileContent(expectation: Expectation, compiler: SampleCompiler): (body: string, context: CheckContext) => boolean {
  if (expectation.format === undefined) return compileText(expectation);
  const wanted = compileWanted(expectation.format, compiler);
  return (body, context) => body.includes(wanted(context));
}

function judgeStatus(isGood: (status: number) => boolean): Judge {
  return (answer) => (isGood(answer.status) ? 'passed' : wrongStatus(answer));
}

function wrongStatus({status, reason}: HttpAnswer): CheckFinding {
  return {status: 'L7STS', code: status, info: reason};
}

function compileRequest({method, uri, version, headers, body}: HttpCheckRequest, compiler: SampleCompiler): (context: CheckContext) => string {
  const fields = headers.map(({name, value}) => ({name, text: compiler.compileFormat(value, 'value')}));
  const target = compiler.compileFormat(uri, 'value');
  const content = body === null ? () => '' : compiler.compileFormat(body, 'value');
  const has = (wanted: string): boolean => fields.some(({name}) => name.toLowerCase() === wanted);
  const ending = has('connection') ? '' : 'connection: close\r\n';
  const hasLength = has('content-length');
  return (context) => {
    const bytes = content(context);
    const length = bytes === '' || hasLength ? '' : `content-length: ${Buffer.byteLength(bytes, 'latin1')}\r\n`;
    let lines = '';
    for (const {name, text} of fields) {
      const value = text(context);
      if (value !== '') lines += `${name}: ${value}\r\n`;
    }
    return `${method} ${target(context) || '/'} ${version.startsWith('HTTP/') ? version : `HTTP/${version}`}\r\n${lines}${length}${ending}\r\n${bytes}`;
  };
}
