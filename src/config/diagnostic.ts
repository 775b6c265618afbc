import type {Position} from './position.ts';

/** What is wrong, or worth knowing, at one place of the configuration. An alert makes it unusable. */
export interface Diagnostic {
  readonly level: 'alert' | 'warning' | 'notice';
  readonly position: Position;
  /** The offending word, where there is one. */
  readonly word?: string;
  /** May have several lines: the line at fault and a caret, or an explanation. */
  readonly message: string;
}

/** As HAProxy prints it, with the column: `[ALERT]    (812) : config : parsing [a.cfg:3:5] : unknown keyword 'bnid' ...`. */
export function renderDiagnostic({level, position, message}: Diagnostic, pid: number = process.pid): string {
  const label = {alert: '[ALERT]   ', warning: '[WARNING] ', notice: '[NOTICE]  '}[level];
  return `${label} (${pid}) : config : parsing [${position.file}:${position.line}:${position.column}] : ${message}`;
}
