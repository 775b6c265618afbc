/** How a backend checks its servers. */
import type {CheckRequest} from './check-shapes.ts';
import {textFormat} from './expression/log-format.ts';
import type {HealthCheck, TcpCheckStep} from './health.ts';
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
export function buildCheck(section: Section): HealthCheck {
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
  if ('request' in chosen) return httpCheck(section, chosen.request);
  return {kind: 'tcp', steps: chosen.steps ?? tcpSteps(section)};
}

type Chosen = {readonly name: string; readonly request: CheckRequest} | {readonly name: string; readonly steps: readonly TcpCheckStep[] | null} | null;

function httpCheck(section: Section, option: CheckRequest): HealthCheck {
  const lines = ownOrInherited(section, 'option httpchk', ['http-check send', 'http-check expect']);
  const sends = lines.flatMap((line) => (line.name === 'http-check send' ? [line.value] : []));
  const requests = [option, ...sends];
  const last = <Key extends keyof CheckRequest>(key: Key): CheckRequest[Key] | undefined => requests.findLast((request) => request[key] !== undefined)?.[key];
  return {
    kind: 'http',
    method: last('method') ?? 'OPTIONS',
    uri: last('uri') ?? textFormat('/'),
    version: last('version') ?? '1.0',
    // Those that are written into the version of the option are for configurations without `http-check send`.
    headers: (sends.length > 0 ? sends : requests).flatMap(({headers}) => headers ?? []),
    body: last('body') ?? null,
    expect: lines.flatMap((line) => (line.name === 'http-check expect' ? [line.value] : [])),
    disableOn404: effective(section, 'http-check disable-on-404') !== undefined,
  };
}

function tcpSteps(section: Section): readonly TcpCheckStep[] {
  return ownOrInherited(section, 'option tcp-check', ['tcp-check connect', 'tcp-check send', 'tcp-check send-binary', 'tcp-check expect']).map(
    ({value}) => value,
  );
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
