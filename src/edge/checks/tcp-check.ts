/** `option tcp-check`: steps that connect, send and expect (HAProxy manual, `tcp-check`). */
import type {AnswerStep, ConnectStep, Expectation, HealthCheck, TcpCheckStep} from '../../config/health.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {CheckConnection} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import type {CheckFinding, CheckStatus} from './check-result.ts';
import {type CheckContext, compileConnectStep, compileVariableStep, isVariableStep} from './check-samples.ts';
import {compileText, compileWanted} from './expectation.ts';
import {compileOutcome} from './outcome.ts';
import {judgeAnswer, type Verdict} from './protocol-answers.ts';

export type TcpCheckConfig = Extract<HealthCheck, {kind: 'tcp'}>;

export interface TcpCheck {
  /** @param open makes the connection of a step; null: that of the server */
  run(
    open: (step: ConnectStep | null) => Promise<CheckConnection>,
    options: {readonly timeoutMs: number; readonly context: CheckContext},
  ): Promise<CheckFinding>;
}

type Action =
  | {readonly kind: 'connect'; readonly step: (context: CheckContext) => ConnectStep; readonly where: (step: ConnectStep) => string}
  | {readonly kind: 'send'; readonly data: (context: CheckContext) => Uint8Array}
  | {readonly kind: 'expect'; readonly run: Expect}
  | {readonly kind: 'variable'; readonly act: (context: CheckContext) => void};

/** @throws CodedError of the compiler */
export function compileTcpCheck({steps, isProtocol = false}: TcpCheckConfig, compiler: SampleCompiler): TcpCheck {
  const actions = steps.map((step, index) => compileAction(step, {number: index + 1, isProtocol, compiler}));
  const talk = steps.filter((step) => !isVariableStep(step));
  const startsConnected = talk[0]?.kind !== 'connect';
  return {
    async run(open, {timeoutMs, context}) {
      using connections = new DisposableStack();
      let connection: CheckConnection | null = null;
      const connect = async (step: ConnectStep | null, where: string): Promise<CheckConnection> => {
        const opened = await open(step).catch((error: unknown) => {
          throw atStep(error, where);
        });
        return connections.use(opened);
      };
      if (startsConnected) connection = await connect(null, isProtocol ? '' : ' at initial connection step of tcp-check');
      let passed: CheckFinding | null = null;
      for (const action of actions) {
        if (connection !== null) context.responsePayload = connection.received;
        if (action.kind === 'connect') {
          const step = action.step(context);
          connection = await connect(step, action.where(step));
          passed = null;
        } else if (action.kind === 'variable') action.act(context);
        else if (connection !== null) passed = await converse(action, connection, {timeoutMs, context});
      }
      if (passed !== null) return passed;
      return {status: connection?.isSecured === true ? 'L6OK' : 'L4OK', code: 0, info: talk.length === 0 ? '' : '(tcp-check)'};
    },
  };
}

const usualSuccess: CheckFinding = {status: 'L7OK', code: 0, info: '(tcp-check)'};

/** What is found when this is the last step. */
async function converse(
  action: Extract<Action, {kind: 'send' | 'expect'}>,
  connection: CheckConnection,
  options: Parameters<Expect>[1],
): Promise<CheckFinding> {
  if (action.kind === 'expect') return action.run(connection, options);
  connection.received = Buffer.alloc(0);
  connection.send(action.data(options.context));
  return usualSuccess;
}

interface StepPlace {
  /** From 1. */
  readonly number: number;
  readonly isProtocol: boolean;
  readonly compiler: SampleCompiler;
}

function compileAction(step: TcpCheckStep, place: StepPlace): Action {
  const {number, isProtocol, compiler} = place;
  switch (step.kind) {
    case 'connect':
      return {
        kind: 'connect',
        step: compileConnectStep(step, compiler),
        where: ({port}) => (isProtocol ? '' : ` at step ${number} of tcp-check (${port === null ? 'connect' : `connect port ${port}`})`),
      };
    case 'send':
      return {kind: 'send', data: () => step.data};
    case 'send-format':
      return {kind: 'send', data: compileBytes(step, number, compiler)};
    case 'expect':
      return {kind: 'expect', run: compileExpect(step.expectation, place)};
    case 'mysql-packet':
    case 'ldap-bind':
      return {kind: 'expect', run: expectAnswer(step, number)};
    case 'set-var':
    case 'unset-var':
      return {kind: 'variable', act: compileVariableStep(step, compiler)};
    default:
      return step satisfies never;
  }
}

/** The function throws CheckFailure L7RSP for what is not hexadecimal. */
function compileBytes(
  {format, hex}: Extract<TcpCheckStep, {kind: 'send-format'}>,
  number: number,
  compiler: SampleCompiler,
): (context: CheckContext) => Uint8Array {
  const make = compiler.compileFormat(format, 'value');
  if (!hex) return (context) => Buffer.from(make(context), 'latin1');
  return (context) => {
    const text = make(context);
    if (!isHex(text)) throw new CheckFailure('L7RSP', `tcp-check send : failed to build log-format string at step ${number}`);
    return Buffer.from(text, 'hex');
  };
}

function isHex(text: string): boolean {
  return /^(?:[0-9A-Fa-f]{2})*$/.test(text);
}

type Expect = (connection: CheckConnection, options: {readonly timeoutMs: number; readonly context: CheckContext}) => Promise<CheckFinding>;

/** @param judge is not asked about nothing */
async function receiveAnswer(connection: CheckConnection, {timeoutMs, empty, late, judge}: AnswerWait): Promise<CheckFinding> {
  const {hasPassed, finding} = await connection
    .receive(() => (connection.received.length > 0 ? judge(connection) : connection.ended ? {hasPassed: false, finding: empty} : null), timeoutMs)
    .catch((error: unknown) => {
      throw late(error);
    });
  if (!hasPassed) throw new CheckFailure(finding.status, finding.info, finding.code);
  return finding;
}

interface AnswerWait {
  readonly timeoutMs: number;
  /** What is found when nothing comes. */
  readonly empty: CheckFinding;
  /** The error that is meant by one of the connection. */
  readonly late: (error: unknown) => unknown;
  readonly judge: (connection: CheckConnection) => Verdict | null;
}

function expectAnswer(step: AnswerStep, number: number): Expect {
  const empty: CheckFinding = {status: 'L7RSP', code: 0, info: `TCPCHK got an empty response at step ${number}`};
  return (connection, {timeoutMs}) =>
    receiveAnswer(connection, {timeoutMs, empty, late: (error) => error, judge: ({received, ended}) => judgeAnswer(step, received, ended)});
}

function compileExpect(expectation: Expectation, {number, isProtocol, compiler}: StepPlace): Expect {
  const {negated, comment, minReceivedBytes = null} = expectation;
  const matches = compileContent(expectation, compiler);
  const outcome = compileOutcome(expectation, compiler);
  const content = describeContent(expectation);
  const neededBytes = Math.max(minReceivedBytes ?? 0, content.minBytes);
  const quotedComment = comment === null ? '' : ` comment: '${comment}'`;
  const success = isProtocol ? {...usualSuccess, info: ''} : usualSuccess;
  const where = isProtocol ? '' : ` at step ${number} of tcp-check (expect ${content.expected})${quotedComment}`;
  const empty: CheckFinding = {status: outcome.unreadable, code: 0, info: `TCPCHK got an empty response at step ${number}${quotedComment}`};
  return (connection, {timeoutMs, context}) => {
    const judge = ({received, ended}: CheckConnection): Verdict | null => {
      if (received.length < neededBytes && !ended) return null;
      context.responsePayload = received;
      const isMatch = matches(received, context);
      if (!isMatch && !ended && minReceivedBytes === null) return null;
      if (isMatch !== negated) return {hasPassed: true, finding: outcome.passed(context, success)};
      const found = `TCPCHK ${isMatch ? 'matched unwanted' : 'did not match'} content ${content.found} at step ${number}`;
      return {hasPassed: false, finding: outcome.failed(context, {status: 'L7RSP', code: 0, info: isProtocol ? '' : found})};
    };
    return receiveAnswer(connection, {timeoutMs, empty, late: (error) => atStep(error, where, outcome.late), judge});
  };
}

function compileContent(expectation: Expectation, compiler: SampleCompiler): (received: Buffer, context: CheckContext) => boolean {
  const {kind, method, value, format} = expectation;
  if (format !== undefined) {
    const text = compileWanted(format, compiler);
    return (received, context) => received.includes(wantedBytes(text(context), kind));
  }
  if (kind === 'binary' && method !== 'reg') {
    const wanted = Buffer.from(value, 'hex');
    return (received) => received.includes(wanted);
  }
  const matches = compileText(expectation);
  return kind === 'binary' ? (received) => matches(received.toString('hex').toUpperCase()) : (received) => matches(received.toString('latin1'));
}

/** @throws CheckFailure L7RSP */
function wantedBytes(text: string, kind: Expectation['kind']): Buffer {
  if (kind !== 'binary') return Buffer.from(text, 'latin1');
  if (!isHex(text)) throw new CheckFailure('L7RSP', 'Failed to parse hexastring resulting of eval of a log-format string');
  return Buffer.from(text, 'hex');
}

interface Content {
  readonly expected: string;
  readonly found: string;
  /** Less cannot be it. */
  readonly minBytes: number;
}

function describeContent({kind, method, value, format}: Expectation): Content {
  const what = kind === 'binary' ? 'binary' : 'string';
  if (format !== undefined) return {expected: `log-format ${what}`, found: `(log-format ${what})`, minBytes: 1};
  if (method === 'reg') {
    const pattern = kind === 'binary' ? 'binary regex' : 'regex';
    return {expected: pattern, found: `(${pattern})`, minBytes: 1};
  }
  if (kind === 'binary') return {expected: `binary '${value}'`, found: '(binary)', minBytes: value.length / 2};
  return {expected: `string '${value}'`, found: `'${value}'`, minBytes: Buffer.byteLength(value)};
}

/** What went wrong with the connection is told with the step at which it did; what the answer was tells that itself. */
function atStep(error: unknown, where: string, late: CheckStatus = 'L7TOUT'): unknown {
  if (!(error instanceof CheckFailure) || error.finding.status === 'L7RSP') return error;
  const {status, info, code} = error.finding;
  return new CheckFailure(status === 'L7TOUT' ? late : status, `${info}${where}`, code);
}
