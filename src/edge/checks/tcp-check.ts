/** `option tcp-check`: steps that connect, send and expect (HAProxy manual, `tcp-check`). */
import type {ConnectStep, Expectation, TcpCheckStep} from '../../config/health.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {CheckConnection} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import type {CheckFinding} from './check-result.ts';
import {type CheckContext, compileConnectStep, compileVariableStep, isVariableStep} from './check-samples.ts';
import {compileText, compileWanted} from './expectation.ts';

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
export function compileTcpCheck(steps: readonly TcpCheckStep[], compiler: SampleCompiler): TcpCheck {
  const actions = steps.map((step, index) => compileAction(step, index + 1, compiler));
  const talk = steps.filter((step) => !isVariableStep(step));
  const startsConnected = talk[0]?.kind !== 'connect';
  const endsTalking = talk.length > 0 && talk.at(-1)?.kind !== 'connect';
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
      if (startsConnected) connection = await connect(null, ' at initial connection step of tcp-check');
      for (const action of actions) {
        if (connection !== null) context.responsePayload = connection.received;
        if (action.kind === 'connect') {
          const step = action.step(context);
          connection = await connect(step, action.where(step));
        } else if (action.kind === 'variable') action.act(context);
        else if (connection !== null) await converse(action, connection, {timeoutMs, context});
      }
      if (endsTalking) return {status: 'L7OK', code: 0, info: '(tcp-check)'};
      return {status: connection?.isSecured === true ? 'L6OK' : 'L4OK', code: 0, info: talk.length === 0 ? '' : '(tcp-check)'};
    },
  };
}

async function converse(action: Extract<Action, {kind: 'send' | 'expect'}>, connection: CheckConnection, options: Parameters<Expect>[1]): Promise<void> {
  if (action.kind === 'expect') return action.run(connection, options);
  connection.received = Buffer.alloc(0);
  connection.send(action.data(options.context));
}

function compileAction(step: TcpCheckStep, number: number, compiler: SampleCompiler): Action {
  switch (step.kind) {
    case 'connect':
      return {
        kind: 'connect',
        step: compileConnectStep(step, compiler),
        where: ({port}) => ` at step ${number} of tcp-check (${port === null ? 'connect' : `connect port ${port}`})`,
      };
    case 'send':
      return {kind: 'send', data: () => step.data};
    case 'send-format':
      return {kind: 'send', data: compileBytes(step, number, compiler)};
    case 'expect':
      return {kind: 'expect', run: compileExpect(step.expectation, number, compiler)};
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

type Expect = (connection: CheckConnection, options: {readonly timeoutMs: number; readonly context: CheckContext}) => Promise<void>;

function compileExpect(expectation: Expectation, number: number, compiler: SampleCompiler): Expect {
  const {negated, comment} = expectation;
  const matches = compileContent(expectation, compiler);
  const content = describeContent(expectation);
  const quotedComment = comment === null ? '' : ` comment: '${comment}'`;
  const plainComment = comment === null ? '' : ` comment: ${comment}`;
  const fail = (info: string): never => {
    throw new CheckFailure('L7RSP', info);
  };
  return async (connection, {timeoutMs, context}) => {
    const judge = (): true | null => {
      const {received, ended} = connection;
      if (received.length === 0) return ended ? fail(`TCPCHK got an empty response at step ${number}${quotedComment}`) : null;
      context.responsePayload = received;
      if (matches(received, context)) return negated ? fail(`TCPCHK matched unwanted content ${content.found} at step ${number}${plainComment}`) : true;
      if (!ended) return null;
      return negated ? true : fail(`TCPCHK did not match content ${content.found} at step ${number}${plainComment}`);
    };
    try {
      await connection.receive(judge, timeoutMs);
    } catch (error) {
      throw atStep(error, ` at step ${number} of tcp-check (expect ${content.expected})${quotedComment}`);
    }
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

function describeContent({kind, method, value, format}: Expectation): {readonly expected: string; readonly found: string} {
  const what = kind === 'binary' ? 'binary' : 'string';
  if (format !== undefined) return {expected: `log-format ${what}`, found: `(log-format ${what})`};
  if (method === 'reg') return kind === 'binary' ? {expected: 'binary regex', found: '(binary regex)'} : {expected: 'regex', found: '(regex)'};
  return kind === 'binary' ? {expected: `binary '${value}'`, found: '(binary)'} : {expected: `string '${value}'`, found: `'${value}'`};
}

/** What went wrong with the connection is told with the step at which it did; what the answer was tells that itself. */
function atStep(error: unknown, where: string): unknown {
  if (!(error instanceof CheckFailure) || error.finding.status === 'L7RSP') return error;
  const {status, info, code} = error.finding;
  return new CheckFailure(status, `${info}${where}`, code);
}
