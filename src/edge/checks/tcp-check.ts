/** `option tcp-check`: steps that connect, send and expect (HAProxy manual, `tcp-check`). */
import type {ConnectStep, Expectation, TcpCheckStep} from '../../config/health.ts';
import type {Format} from '../../config/sample.ts';
import type {CheckConnection} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import type {CheckFinding} from './check-result.ts';
import {compileText} from './expectation.ts';

export interface TcpCheck {
  /** @param open makes the connection of a step; null: that of the server */
  run(open: (step: ConnectStep | null) => Promise<CheckConnection>, timeoutMs: number): Promise<CheckFinding>;
}

/** @param formatText renders texts with expressions in them */
export function compileTcpCheck(steps: readonly TcpCheckStep[], formatText: (format: Format) => string): TcpCheck {
  const actions = steps.map((step, index) => ({step, number: index + 1, run: step.kind === 'expect' ? compileExpect(step.expectation, index + 1) : null}));
  const startsConnected = steps[0]?.kind !== 'connect';
  const endsTalking = steps.length > 0 && steps.at(-1)?.kind !== 'connect';
  return {
    async run(open, timeoutMs) {
      using connections = new DisposableStack();
      let connection: CheckConnection | null = null;
      const connect = async (step: ConnectStep | null, where: string): Promise<CheckConnection> => {
        const opened = await open(step).catch((error: unknown) => {
          throw atStep(error, where);
        });
        return connections.use(opened);
      };
      if (startsConnected) connection = await connect(null, ' at initial connection step of tcp-check');
      for (const {step, number, run} of actions) {
        if (step.kind === 'connect') {
          connection = await connect(step, ` at step ${number} of tcp-check (${step.port === null ? 'connect' : `connect port ${step.port}`})`);
        } else if (connection !== null && step.kind !== 'expect') {
          connection.received = Buffer.alloc(0);
          connection.send(step.kind === 'send' ? step.data : formatted(step, formatText, number));
        } else if (connection !== null) {
          await run?.(connection, timeoutMs);
        }
      }
      if (endsTalking) return {status: 'L7OK', code: 0, info: '(tcp-check)'};
      return {status: connection?.isSecured === true ? 'L6OK' : 'L4OK', code: 0, info: steps.length === 0 ? '' : '(tcp-check)'};
    },
  };
}

/** @throws CheckFailure L7RSP for what is not hexadecimal */
function formatted({format, hex}: Extract<TcpCheckStep, {kind: 'send-format'}>, formatText: (format: Format) => string, number: number): Uint8Array {
  const text = formatText(format);
  if (!hex) return Buffer.from(text, 'latin1');
  if (!/^(?:[0-9A-Fa-f]{2})*$/.test(text)) throw new CheckFailure('L7RSP', `tcp-check send : failed to build log-format string at step ${number}`);
  return Buffer.from(text, 'hex');
}

type Expect = (connection: CheckConnection, timeoutMs: number) => Promise<void>;

function compileExpect(expectation: Expectation, number: number): Expect {
  const {negated, comment} = expectation;
  const matches = compileContent(expectation);
  const content = describeContent(expectation);
  const quotedComment = comment === null ? '' : ` comment: '${comment}'`;
  const plainComment = comment === null ? '' : ` comment: ${comment}`;
  const fail = (info: string): never => {
    throw new CheckFailure('L7RSP', info);
  };
  return async (connection, timeoutMs) => {
    const judge = (): true | null => {
      const {received, ended} = connection;
      if (received.length === 0) return ended ? fail(`TCPCHK got an empty response at step ${number}${quotedComment}`) : null;
      if (matches(received)) return negated ? fail(`TCPCHK matched unwanted content ${content.found} at step ${number}${plainComment}`) : true;
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

function compileContent(expectation: Expectation): (received: Buffer) => boolean {
  const {kind, method, value} = expectation;
  if (kind === 'binary' && method !== 'reg') {
    const wanted = Buffer.from(value, 'hex');
    return (received) => received.includes(wanted);
  }
  const matches = compileText(expectation);
  return kind === 'binary' ? (received) => matches(received.toString('hex').toUpperCase()) : (received) => matches(received.toString('latin1'));
}

function describeContent({kind, method, value}: Expectation): {readonly expected: string; readonly found: string} {
  if (method === 'reg') return kind === 'binary' ? {expected: 'binary regex', found: '(binary regex)'} : {expected: 'regex', found: '(regex)'};
  return kind === 'binary' ? {expected: `binary '${value}'`, found: '(binary)'} : {expected: `string '${value}'`, found: `'${value}'`};
}

/** What went wrong with the connection is told with the step at which it did; what the answer was tells that itself. */
function atStep(error: unknown, where: string): unknown {
  if (!(error instanceof CheckFailure) || error.finding.status === 'L7RSP') return error;
  const {status, info, code} = error.finding;
  return new CheckFailure(status, `${info}${where}`, code);
}
