/** Commands of the runtime API about one table. */
import type {GatewayControl} from '../../../src/admin/gateway-control.ts';
import {tableCommands} from '../../../src/admin/table-commands.ts';
import {tableControl} from '../../../src/cli/runtime-tables.ts';
import type {Clock} from '../../../src/core/clock.ts';
import type {StickTable} from '../../../src/edge/stick/stick-table.ts';

/** @returns the lines of `show table NAME`, `clear table NAME`, and so on. @throws CommandRefusal */
export async function tableCommand(table: StickTable, clock: Clock, {verb, args = ''}: {verb: 'show' | 'clear'; args?: string}): Promise<readonly string[]> {
  const command = tableCommands.find(({name}) => name === `${verb} table`);
  if (command === undefined) throw new Error(`no command ${verb} table`);
  const ignore = (): void => undefined;
  const answer = await command.run({
    control: {tables: () => [tableControl(table, clock.monotonicMs())]} as Pick<GatewayControl, 'tables'> as GatewayControl,
    sockets: [],
    level: 'admin',
    words: [],
    args: [table.name, ...args.split(' ').filter((word) => word !== '')],
    payload: null,
    setLevel: ignore,
    setTimeoutMs: ignore,
    togglePrompt: ignore,
    quit: ignore,
  });
  const text = typeof answer === 'string' ? answer : [...answer].join('');
  return text.split('\n').filter((line) => line !== '');
}
