/** Commands about the process and the connection to it (management manual, sections 9.3 and 9.4). */
import {type Command, type CommandContext, refuse} from './command.ts';
import {showUptime} from './show-info.ts';

const longestTimeoutMs = 24 * 3600 * 1000;

const timeUnitsMs: Readonly<Record<string, number>> = {us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000};

/** A delay is in seconds here when it has no unit. */
function setTimeout({args: [what, value], setTimeoutMs}: CommandContext): string {
  if (what !== 'cli') return refuse("'set timeout' only supports 'cli'.\n");
  if (value === undefined) return refuse('Expects an integer value.\n');
  const [, digits, unit = 's'] = /^(\d{1,9})(us|ms|s|m|h|d)?$/.exec(value) ?? refuse('Invalid timeout value.\n');
  const timeoutMs = Math.ceil(Number(digits) * (timeUnitsMs[unit] ?? 1));
  if (timeoutMs === 0 || timeoutMs > longestTimeoutMs) return refuse('Invalid timeout value.\n');
  setTimeoutMs(timeoutMs);
  return '';
}

function showEnvironment({args: [name]}: CommandContext): string {
  if (name === undefined)
    return Object.entries(process.env)
      .map(([key, value]) => `${key}=${value ?? ''}\n`)
      .join('');
  const value = process.env[name];
  return value === undefined ? refuse('Variable not found\n') : `${name}=${value}\n`;
}

/** There is one process, which is master and worker in one: a reload happens inside it. */
function showProcesses({control}: CommandContext): string {
  const {pid, startedAtMs, version, reloads, failedReloads} = control.process();
  const uptime = showUptime(Math.trunc((Date.now() - startedAtMs) / 1000))
    .replace(' ', '')
    .replace(/d(\d)h/, 'd0$1h');
  const line = (type: string, count: string): string => `${[String(pid), type, count, uptime].map((word) => word.padEnd(15)).join(' ')} ${version}\n`;
  const heading = `${['#<PID>', '<type>', '<reloads>', '<uptime>'].map((word) => word.padEnd(15)).join(' ')} <version>\n`;
  return `${heading}${line('master', `${reloads} [failed: ${failedReloads}]`)}# workers\n${line('worker', '0')}# programs\n`;
}

/** The lines of HAProxy's that say something here, and requests of mode http. */
function showActivity({control}: CommandContext): string {
  const {threads} = control.process();
  const line = (name: string, counts: readonly number[]): string => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return `${name}: ${total}${counts.length > 1 ? ` [ ${counts.join(' ')} ]` : ''}\n`;
  };
  const accepted = threads.map(({connectionsTotal}) => connectionsTotal);
  const requests = threads.map(({requestsTotal}) => requestsTotal);
  const sessions = threads.map(({connections}) => connections);
  const head = `thread_id: 1 (1..${threads.length})\ndate_now: ${(Date.now() / 1000).toFixed(6)}\n`;
  return `${head}${line('accepted', accepted)}${line('requests', requests)}${line('sessions', sessions)}`;
}

async function reload({control}: CommandContext): Promise<string> {
  const problem = await control.reload();
  return problem === null ? 'Success=1\n' : `Success=0\n--\n${problem.trimEnd()}\n`;
}

export const processCommands: readonly Command[] = [
  {
    name: 'operator',
    args: '',
    help: 'lower the level of the current CLI session to operator',
    level: 'operator',
    run({setLevel}) {
      setLevel('operator');
      return '';
    },
  },
  {name: 'reload', args: '', help: 'read the configuration again, without losing a connection', level: 'admin', run: reload},
  {
    name: 'set severity-output',
    args: '[none|number|string]',
    help: 'set presence of severity level in feedback information',
    level: 'user',
    run({args: [form]}) {
      if (form === 'none') return '';
      return refuse("one of 'none', 'number', 'string' is a required argument\n");
    },
  },
  {name: 'set timeout', args: '[cli] <delay>', help: 'change a timeout setting', level: 'user', run: setTimeout},
  {name: 'show activity', args: '', help: 'show per-thread activity stats (for support/developers)', level: 'operator', run: showActivity},
  {name: 'show cli level', args: '', help: 'display the level of the current CLI session', level: 'user', run: ({level}) => `${level}\n`},
  {
    name: 'show cli sockets',
    args: '',
    help: 'dump list of cli sockets',
    level: 'user',
    run: ({sockets}) => `# socket lvl processes\n${sockets.map(({address, level}) => `${address} ${level} all\n`).join('')}`,
  },
  {name: 'show env', args: '[var]', help: 'dump environment variables known to the process', level: 'operator', run: showEnvironment},
  {name: 'show proc', args: '', help: 'show processes status', level: 'user', run: showProcesses},
  {name: 'show version', args: '', help: 'show version of the current process', level: 'user', run: ({control}) => `${control.process().version}\n`},
  {
    name: 'user',
    args: '',
    help: 'lower the level of the current CLI session to user',
    level: 'user',
    run({setLevel}) {
      setLevel('user');
      return '';
    },
  },
];
