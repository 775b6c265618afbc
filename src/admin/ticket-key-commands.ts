/** Commands about the keys of TLS tickets (management manual, section 9.3). Only administrators may use them: who has a key can read what it protects. */
import {decodeTicketKey, ticketKeyBytes} from '../config/ticket-keys.ts';
import {type Command, type CommandContext, refuse} from './command.ts';
import type {TicketKeysControl} from './gateway-control.ts';

/** @param reference `#ID`, or the path of the file */
function find(files: readonly TicketKeysControl[], reference: string): {readonly id: number; readonly file: TicketKeysControl} | null {
  const id = reference.startsWith('#') ? Number(reference.slice(1)) : files.findIndex(({path}) => path === reference);
  const file = files[id];
  return file === undefined ? null : {id, file};
}

function* dump(files: Iterable<readonly [number, TicketKeysControl]>): Generator<string> {
  yield '# id secret\n';
  for (const [id, {path, keys}] of files) {
    yield `# ${id} (${path})\n`;
    yield* keys.map((key, index) => `${id}.${index} ${Buffer.from(key).toString('base64')}\n`);
  }
}

function show({control, args: [reference]}: CommandContext): string | Iterable<string> {
  const files = [...control.ticketKeys()];
  if (reference === undefined) return `# id (file)\n${files.map(({path}, id) => `${id} (${path})\n`).join('')}`;
  if (reference.startsWith('*')) return dump(files.entries());
  const found = find(files, reference) ?? refuse("'show tls-keys' unable to locate referenced filename\n");
  return dump([[found.id, found.file]]);
}

function set({control, args: [reference, text]}: CommandContext): string {
  if (reference === undefined || text === undefined) return refuse("'set ssl tls-key' expects a filename and the new TLS key in base64 encoding.\n");
  const {file} = find([...control.ticketKeys()], reference) ?? refuse("'set ssl tls-key' unable to locate referenced filename\n");
  const key = decodeTicketKey(text) ?? refuse("'set ssl tls-key' received invalid base64 encoded TLS key.\n");
  if (key.length !== ticketKeyBytes) return refuse("'set ssl tls-key' received a key of wrong size.\n");
  file.add(key);
  return 'TLS ticket key updated!\n';
}

export const ticketKeyCommands: readonly Command[] = [
  {name: 'set ssl tls-key', args: '[id|file] <key>', help: 'set the next TLS key for the <id> or <file> listener to <key>', level: 'admin', run: set},
  {name: 'show tls-keys', args: '[id|*]', help: 'show tls keys references or dump tls ticket keys when id specified', level: 'admin', run: show},
];
