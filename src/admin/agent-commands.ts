/** Commands about the agents of servers (management manual, section 9.3). */
import {isIP} from 'node:net';
import {type Command, refuse} from './command.ts';
import {findServer, portNumber} from './find-proxy.ts';
import type {AgentFacts, ServerControl} from './gateway-control.ts';

const notEnabled = 'agent checks are not enabled on this server';

/** @throws CommandRefusal */
function enabledAgent({agent}: ServerControl, lineEnd: '\n' | ''): AgentFacts {
  return agent?.isEnabled === true ? agent : refuse(lineEnd === '' ? notEnabled : `${notEnabled}.\n`);
}

/** `set server B/S agent...`. @throws CommandRefusal */
export function setAgent(server: ServerControl, what: 'agent' | 'agent-addr' | 'agent-port' | 'agent-send', [value = '', ...more]: readonly string[]): string {
  switch (what) {
    case 'agent':
      enabledAgent(server, '\n');
      if (value !== 'up' && value !== 'down') return refuse("'set server <srv> agent' expects 'up' or 'down'.\n");
      server.setAgentHealth(value);
      return '';
    case 'agent-addr': {
      if (value === '') return refuse('set server <b>/<s> agent-addr requires an address and optionally a port.\n');
      enabledAgent(server, '');
      if (isIP(value) === 0) return refuse(`invalid addr '${value}'`);
      const [word, port = ''] = more;
      server.setAgent({address: value, ...(word === 'port' ? {port: portNumber(port)} : {})});
      return '';
    }
    case 'agent-port':
      if (value === '') return refuse('set server <b>/<s> agent-port requires a port.\n');
      enabledAgent(server, '');
      server.setAgent({port: portNumber(value)});
      return '';
    case 'agent-send':
      enabledAgent(server, '\n');
      server.setAgent({send: value});
      return '';
    default:
      return what satisfies never;
  }
}

export const agentCommands: readonly Command[] = [
  {
    name: 'disable agent',
    args: '<bk>/<srv>',
    help: 'disable agent checks',
    level: 'admin',
    run({control, args: [path]}) {
      const {server} = findServer(control, path);
      if (server.agent !== null) server.enableAgent(false);
      return '';
    },
  },
  {
    name: 'enable agent',
    args: '<bk>/<srv>',
    help: 'enable agent checks',
    level: 'admin',
    run({control, args: [path]}) {
      const {server} = findServer(control, path);
      if (server.agent === null) return refuse('Agent was not configured on this server, cannot enable.\n');
      server.enableAgent(true);
      return '';
    },
  },
];
