/** How a backend checks its servers. */
import type {CheckRequest} from './check-shapes.ts';
import type {Diagnostic} from './diagnostic.ts';
import {textFormat} from './expression/log-format.ts';
import type {ConnectStep, Expectation, HealthCheck, HttpCheckRequest, HttpExchange, TcpCheckStep, VariableStep} from './health.ts';
import type {Position} from './position.ts';
import {effective, inOrder, own, type Section} from './section.ts';

const kinds = [
  'option httpchk',
  'option tcp-check',
  'option smtpchk',
  'option redis-check',
  'option mysql-check',
  'option pgsql-check',
  'option ldap-check',
  'option ssl-hello-chk',
] as const;

/** The last option that says which one counts; `no option ...` takes back its own only. */
export function buildCheck(section: Section, report: (diagnostic: Diagnostic) => void): HealthCheck {
  let chosen: Chosen = null;
  for (const setting of inOrder(section, kinds)) {
    if (setting.value === null || setting.value === false) {
      if (chosen?.name === setting.name) chosen = null;
    } else if (setting.name === 'option httpchk') {
      chosen = {name: setting.name, request: setting.value};
    } else {
      chosen = {name: setting.name, steps: setting.value === true ? null : setting.value};
    }
  }
  if (chosen === null) return {kind: 'connect'};
  if ('request' in chosen) return httpCheck(section, chosen.request, report);
  if (chosen.steps !== null) return {kind: 'tcp', steps: chosen.steps, isProtocol: true};
  return {kind: 'tcp', steps: tcpSteps(section, report)};
}

type Chosen = {readonly name: string; readonly request: CheckRequest} | {readonly name: string; readonly steps: readonly TcpCheckStep[] | null} | null;

const httpSteps = [
  'http-check connect',
  'http-check send',
  'http-check expect',
  'http-check set-var',
  'http-check set-var-fmt',
  'http-check unset-var',
] as const;
type HttpLine = ReturnType<typeof inOrder<(typeof httpSteps)[number]>>[number];

function httpCheck(section: Section, option: CheckRequest, report: Report): HealthCheck {
  const lines = ownOrInherited(section, 'option httpchk', httpSteps);
  // A request of its own owes nothing to the option of its defaults.
  const isOwnRequest = own(section, 'http-check send') !== undefined && own(section, 'option httpchk') === undefined;
  const talk = lines.filter(({name}) => isTalk(name));
  if (talk.some(({name}) => name === 'http-check connect')) checkOrder(talk, report);
  const parts: HttpLine[][] = [[]];
  for (const line of lines) {
    // Nothing but variables stands before the first `connect`.
    if (line.name === 'http-check connect' && parts.at(-1)?.some(({name}) => isTalk(name)) === true) parts.push([]);
    parts.at(-1)?.push(line);
  }
  return {
    kind: 'http',
    exchanges: parts.map((part, index) => buildExchange(part, index === 0 ? (isOwnRequest ? {} : option) : null)),
    disableOn404: effective(section, 'http-check disable-on-404') !== undefined,
  };
}

function isTalk(name: string): boolean {
  return !name.endsWith('set-var') && !name.endsWith('set-var-fmt');
}

/** @param option what it says is sent at once where no line says when */
function buildExchange(lines: readonly HttpLine[], option: CheckRequest | null): HttpExchange {
  const connectAt = lines.findIndex(({name}) => name === 'http-check connect');
  const firstSend = lines.findIndex(({name}) => name === 'http-check send');
  const sendAt = firstSend >= 0 ? firstSend : option === null ? lines.length : connectAt;
  let connect: ConnectStep | null = null;
  const sends: CheckRequest[] = option === null ? [] : [option];
  const first: VariableStep[] = [];
  const before: VariableStep[] = [];
  const expect: (Expectation | VariableStep)[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.name === 'http-check connect') connect = line.value;
    else if (line.name === 'http-check send') sends.push(line.value);
    else if (line.name === 'http-check expect') expect.push(line.value);
    else (index < connectAt ? first : index < sendAt ? before : expect).push(line.value);
  }
  return {connect, first, before, request: sends.length === 0 ? null : buildRequest(sends), expect};
}

/** @param requests of each part the last one that says it counts */
function buildRequest(requests: readonly CheckRequest[]): HttpCheckRequest {
  const last = <Key extends keyof CheckRequest>(key: Key): CheckRequest[Key] | undefined => requests.findLast((request) => request[key] !== undefined)?.[key];
  const [, ...sends] = requests;
  return {
    method: last('method') ?? 'OPTIONS',
    uri: last('uri') ?? textFormat('/'),
    version: last('version') ?? '1.0',
    // Those that are written into the version of the option are for configurations without `http-check send`.
    headers: (sends.length > 0 ? sends : requests).flatMap(({headers}) => headers ?? []),
    body: last('body') ?? null,
  };
}

type Report = (diagnostic: Diagnostic) => void;

/** With `connect` every step has its place: connect, send, expect as often as wanted, connect again. */
function checkOrder(lines: readonly {readonly name: string; readonly position: Position}[], report: Report): void {
  let before: string | null = null;
  for (const {name, position} of lines) {
    const missing = missingStep(name, before);
    if (missing !== null) report({level: 'alert', position, word: name, message: missing});
    before = name;
  }
}

function missingStep(name: string, before: string | null): string | null {
  if (before === null) return name.endsWith(' connect') ? null : firstIsConnect;
  if (name === 'http-check send' && before !== 'http-check connect') return `'${name}' without an 'http-check connect' before it`;
  if (name === 'http-check expect' && before === 'http-check connect') return `'${name}' without an 'http-check send' before it`;
  if (name === 'http-check connect' && before !== 'http-check expect') return `'${name}' without an 'http-check expect' before it`;
  return null;
}

const firstIsConnect = "where there is a 'connect' the first step has to be one";

function tcpSteps(section: Section, report: Report): readonly TcpCheckStep[] {
  const lines = ownOrInherited(section, 'option tcp-check', [
    'tcp-check connect',
    'tcp-check send',
    'tcp-check send-binary',
    'tcp-check send-lf',
    'tcp-check send-binary-lf',
    'tcp-check expect',
    'tcp-check set-var',
    'tcp-check set-var-fmt',
    'tcp-check unset-var',
  ]);
  const first = lines.find(({name}) => isTalk(name));
  if (first !== undefined && first.value.kind !== 'connect' && lines.some(({value}) => value.kind === 'connect')) {
    report({level: 'alert', position: first.position, word: first.name, message: firstIsConnect});
  }
  return lines.map(({value}) => value);
}

/** Lines of a section take the place of all those of its defaults, as does the option itself. */
function ownOrInherited<Name extends Parameters<typeof inOrder>[1][number]>(
  section: Section,
  option: 'option httpchk' | 'option tcp-check',
  names: readonly Name[],
): ReturnType<typeof inOrder<Name>> {
  for (let at: Section | null = section; at !== null; at = at.defaults) {
    const lines = inOrder({...at, defaults: null}, names);
    if (lines.length > 0 || own(at, option) !== undefined) return lines;
  }
  return [];
}
