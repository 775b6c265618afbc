/** What a health check found, in HAProxy's words (manual, `show stat`, `check_status`). */

interface StatusMeaning {
  readonly verdict: 'passed' | 'failed' | 'conditional' | 'neutral';
  readonly description: string;
  /** The line tells the code too: an answer was understood. */
  readonly hasCode: boolean;
}

export const checkStatuses = {
  /** Of an agent: nothing about the health. */
  CHECKED: {verdict: 'neutral', description: 'No status change', hasCode: false},
  /** No check: traffic has met errors. */
  HANA: {verdict: 'failed', description: 'Health analyze', hasCode: false},
  SOCKERR: {verdict: 'failed', description: 'Socket error', hasCode: false},
  L4OK: {verdict: 'passed', description: 'Layer4 check passed', hasCode: false},
  L4TOUT: {verdict: 'failed', description: 'Layer4 timeout', hasCode: false},
  L4CON: {verdict: 'failed', description: 'Layer4 connection problem', hasCode: false},
  L6OK: {verdict: 'passed', description: 'Layer6 check passed', hasCode: false},
  L6TOUT: {verdict: 'failed', description: 'Layer6 timeout', hasCode: false},
  L6RSP: {verdict: 'failed', description: 'Layer6 invalid response', hasCode: false},
  L7TOUT: {verdict: 'failed', description: 'Layer7 timeout', hasCode: false},
  L7RSP: {verdict: 'failed', description: 'Layer7 invalid response', hasCode: false},
  L7OK: {verdict: 'passed', description: 'Layer7 check passed', hasCode: true},
  L7OKC: {verdict: 'conditional', description: 'Layer7 check conditionally passed', hasCode: true},
  L7STS: {verdict: 'failed', description: 'Layer7 wrong status', hasCode: true},
} as const satisfies Record<string, StatusMeaning>;
export type CheckStatus = keyof typeof checkStatuses;

export interface CheckResult {
  readonly status: CheckStatus;
  /** The status of an HTTP answer; 0 where there is none. */
  readonly code: number;
  /** What was found, for people; may be `''`. */
  readonly info: string;
  /** Null: nothing was asked. */
  readonly durationMs: number | null;
}

export type CheckFinding = Omit<CheckResult, 'durationMs'>;

export function checkVerdict({status}: Pick<CheckResult, 'status'>): StatusMeaning['verdict'] {
  return checkStatuses[status].verdict;
}

/** `, reason: Layer7 wrong status, code: 500, info: "Internal Server Error", check duration: 3ms` */
export function describeCheck({status, code, info, durationMs}: CheckResult): string {
  const {description, hasCode} = checkStatuses[status];
  const parts = [`, reason: ${description}`];
  if (hasCode) parts.push(`, code: ${code}`);
  if (info !== '') parts.push(`, info: "${printable(info)}"`);
  if (durationMs !== null) parts.push(`, check duration: ${Math.round(durationMs)}ms`);
  return parts.join('');
}

/** The server chose part of it. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]|[<>"]/g, (character) => `<${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}>`);
}

/** A line of the log. @param status of the server, after it */
export function resultReport(check: string, result: CheckResult, status: string): string {
  const verdict = checkVerdict(result);
  const outcome = verdict === 'failed' ? 'failed' : verdict === 'conditional' ? 'conditionally succeeded' : 'succeeded';
  return `${check} ${outcome}${describeCheck(result)}, status: ${status}.`;
}
