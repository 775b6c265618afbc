/** `option httpchk`: requests, each on a connection of its own, and what is expected of their answers (HAProxy manual, `http-check`). */
import type {ConnectStep, Expectation, HealthCheck, HttpCheckRequest} from '../../config/health.ts';
import type {Format} from '../../config/sample.ts';
import type {CheckConnection} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import {type CheckFinding, checkVerdict} from './check-result.ts';
import {compileHeader, compileStatus, compileText} from './expectation.ts';
import {type HttpAnswer, readHttpAnswer} from './http-answer.ts';

export type HttpCheckConfig = Extract<HealthCheck, {kind: 'http'}>;

export interface HttpCheck {
  /**
   * @param open makes the connection of a step; null: that of the server
   * @param options.timeoutMs for the answer that is waited for next
   * @param options.isUp a 404 takes only a server that is up out of balance
   */
  run(open: (step: ConnectStep | null) => Promise<CheckConnection>, options: {readonly timeoutMs: () => number; readonly isUp: boolean}): Promise<CheckFinding>;
}

/** Null: more of the answer is needed. */
type Judge = (answer: HttpAnswer) => CheckFinding | 'passed' | null;

/** @param formatText renders texts with expressions in them */
export function compileHttpCheck({exchanges, disableOn404}: HttpCheckConfig, formatText: (format: Format) => string): HttpCheck {
  const compiled = exchanges.map(({connect, request, expect}) => ({connect, request, judges: compileJudges(expect)}));
  return {
    async run(open, {timeoutMs, isUp}) {
      let finding: CheckFinding = {status: 'L4OK', code: 0, info: '(tcp-check)'};
      for (const {connect, request, judges} of compiled) {
        using connection = await open(connect);
        if (request === null) {
          finding = {status: connection.isSecured ? 'L6OK' : 'L4OK', code: 0, info: '(tcp-check)'};
          continue;
        }
        connection.send(Buffer.from(renderRequest(request, formatText), 'latin1'));
        finding = await connection.receive(() => judgeAnswer(connection, judges, disableOn404 && isUp), timeoutMs());
        if (checkVerdict(finding) === 'failed') return finding;
      }
      return finding;
    },
  };
}

function compileJudges(expect: readonly Expectation[]): readonly Judge[] {
  return expect.length === 0 ? [judgeStatus((status) => status >= 200 && status < 400)] : expect.map(compileJudge);
}

/** @throws CheckFailure L7RSP */
function judgeAnswer({received, ended}: CheckConnection, judges: readonly Judge[], missingIsStopping: boolean): CheckFinding | null {
  const answer = readHttpAnswer(received, ended);
  if (answer === null) return null;
  if (answer === 'invalid') throw new CheckFailure('L7RSP', '');
  if (missingIsStopping && answer.status === 404) return {status: 'L7OKC', code: 404, info: ''};
  for (const judge of judges) {
    const verdict = judge(answer);
    if (verdict !== 'passed') return verdict;
  }
  return {status: 'L7OK', code: answer.status, info: ''};
}

function compileJudge(expectation: Expectation): Judge {
  const {negated} = expectation;
  switch (expectation.kind) {
    case 'status': {
      const matches = compileStatus(expectation);
      return judgeStatus((status) => matches(status) !== negated);
    }
    case 'header': {
      const matches = compileHeader(expectation);
      return (answer) => (matches(answer.headers) !== negated ? 'passed' : wrongStatus(answer));
    }
    case 'string':
    case 'binary': {
      const matches = compileText(expectation);
      return (answer) => {
        if (matches(answer.body)) return negated ? {status: 'L7RSP', code: 0, info: 'HTTP check matched unwanted content'} : 'passed';
        if (!answer.isComplete) return null;
        return negated ? 'passed' : {status: 'L7RSP', code: 0, info: 'HTTP content check did not match'};
      };
    }
    default:
      return expectation.kind satisfies never;
  }
}

function judgeStatus(isGood: (status: number) => boolean): Judge {
  return (answer) => (isGood(answer.status) ? 'passed' : wrongStatus(answer));
}

function wrongStatus({status, reason}: HttpAnswer): CheckFinding {
  return {status: 'L7STS', code: status, info: reason};
}

function renderRequest({method, uri, version, headers, body}: HttpCheckRequest, formatText: (format: Format) => string): string {
  const fields = headers.map(({name, value}) => [name, formatText(value)] as const);
  const has = (wanted: string): boolean => fields.some(([name]) => name.toLowerCase() === wanted);
  const content = body === null ? '' : formatText(body);
  const added = [
    ...(content === '' || has('content-length') ? [] : [['content-length', String(Buffer.byteLength(content, 'latin1'))] as const]),
    ...(has('connection') ? [] : [['connection', 'close'] as const]),
  ];
  const lines = [...fields, ...added].map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${formatText(uri)} ${version.startsWith('HTTP/') ? version : `HTTP/${version}`}\r\n${lines.join('')}\r\n${content}`;
}
