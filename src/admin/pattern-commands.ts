/** Commands about the patterns of ACLs and maps (management manual, section 9.3). Entries are named by key, or by `#0xID`. */
import {type Answer, type Command, type CommandContext, refuse} from './command.ts';
import type {GatewayControl, PatternKind, PatternListControl} from './gateway-control.ts';
import {hexadecimal, parseHexadecimal} from './hexadecimal.ts';

const titles = {acl: 'ACL', map: 'map'} as const satisfies Record<PatternKind, string>;

function unknownList(kind: PatternKind): never {
  return refuse(`Unknown ${titles[kind]} identifier. Please use #<id> or <file>.\n`);
}

function findList(control: GatewayControl, kind: PatternKind, name: string): PatternListControl {
  const id = /^#\d+$/.test(name) ? Number(name.slice(1)) : null;
  for (const list of control.patterns(kind)) if (list.id === id || list.file === name) return list;
  return unknownList(kind);
}

/** `@VERSION` may come first; there is only the current one. */
function withoutVersion(args: readonly string[]): readonly string[] {
  return args[0]?.startsWith('@') === true ? args.slice(1) : args;
}

function* listings(control: GatewayControl, kind: PatternKind): Generator<string> {
  yield '# id (file) description\n';
  for (const {id, file, description, size} of control.patterns(kind)) {
    yield `${id} (${file ?? ''}) ${description}. curr_ver=0 next_ver=0 entry_cnt=${size}\n`;
  }
}

function* entries(list: PatternListControl): Generator<string> {
  for (const {id, key, value} of list.entries()) yield `${hexadecimal(id)} ${key}${value === null ? '' : ` ${value}`}\n`;
}

function show(kind: PatternKind, {control, args}: CommandContext): Answer {
  const [name] = withoutVersion(args);
  return name === undefined ? listings(control, kind) : entries(findList(control, kind, name));
}

function get(kind: PatternKind, {control, args: [name, sample]}: CommandContext): string {
  if (name === undefined || sample === undefined)
    return refuse(kind === 'acl' ? 'Missing ACL identifier and/or key.\n' : 'Missing map identifier and/or key.\n');
  const entry = findList(control, kind, name).find(sample);
  const word = kind === 'acl' ? 'match' : 'found';
  if (entry === null) return `type=str, case=sensitive, ${word}=no\n`;
  const value = entry.value === null ? '' : `, value="${entry.value}", type="str"`;
  return `type=str, case=sensitive, ${word}=yes, idx=list, ${kind === 'acl' ? 'pattern' : 'key'}="${entry.key}"${value}\n`;
}

const addMapUsage = "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) and a payload\n";

/** Lines of a payload: `key value` for a map, `key` for an ACL; an empty line has ended it. */
function addPayload(list: PatternListControl, payload: string): void {
  for (const line of payload.split('\n')) {
    const [, key, value] = /^\s*(\S+)\s*(.*?)\s*$/.exec(line) ?? [];
    if (key === undefined) continue;
    list.add(key, value ?? '');
  }
}

function addMap({control, args, payload}: CommandContext): string {
  const [name, key, ...values] = withoutVersion(args);
  if (name === undefined) return refuse(addMapUsage);
  if (payload !== null && key === undefined) {
    addPayload(findList(control, 'map', name), payload);
    return '';
  }
  const [value] = values;
  if (key === undefined || value === undefined) return refuse(addMapUsage);
  findList(control, 'map', name).add(key, value);
  return '';
}

function addAcl({control, args}: CommandContext): string {
  const [name, key] = withoutVersion(args);
  if (name === undefined || key === undefined) return refuse("'add acl' expects two parameters: ACL identifier and pattern.\n");
  findList(control, 'acl', name).add(key, null);
  return '';
}

/** A key, or `#0x12` for the entry with that number. */
function entryName(word: string): string | number {
  return (word.startsWith('#') ? parseHexadecimal(word.slice(1)) : null) ?? word;
}

function remove(kind: PatternKind, {control, args: [name, key]}: CommandContext): string {
  if (name === undefined || key === undefined) {
    return refuse(`This command expects two parameters: ${titles[kind]} identifier and key.\n`);
  }
  return findList(control, kind, name).remove(entryName(key)) ? '' : refuse('Key not found.\n');
}

function setMap({control, args: [name, key, value]}: CommandContext): string {
  if (name === undefined || key === undefined || value === undefined) {
    return refuse("'set map' expects three parameters: map identifier, key and value.\n");
  }
  return findList(control, 'map', name).replace(entryName(key), value) ? '' : refuse('entry not found.\n');
}

function clear(kind: PatternKind, {control, args}: CommandContext): string {
  const [name] = withoutVersion(args);
  if (name === undefined) return refuse(`Missing ${titles[kind]} identifier.\n`);
  findList(control, kind, name).clear();
  return '';
}

const command = (name: string, args: string, help: string, run: Command['run'], level: Command['level'] = 'operator'): Command => ({
  name,
  args,
  help,
  level,
  run,
});

/** HAProxy lets everybody change patterns; here whoever may only look may not. */
export const patternCommands: readonly Command[] = [
  command('add acl', '[@<ver>] <acl> <pattern>', 'add an acl entry', addAcl),
  command('add map', '[@<ver>] <map> <key> <val>', 'add a map entry (payload supported instead of key/val)', addMap),
  command('clear acl', '[@<ver>] <acl>', 'clear the contents of this acl', (context) => clear('acl', context)),
  command('clear map', '[@<ver>] <map>', 'clear the contents of this map', (context) => clear('map', context)),
  command('del acl', '<acl> [<key>|#<ref>]', 'delete acl entries matching <key>', (context) => remove('acl', context)),
  command('del map', '<map> [<key>|#<ref>]', 'delete map entries matching <key>', (context) => remove('map', context)),
  command('get acl', '<acl> <value>', 'report the patterns matching a sample for an ACL', (context) => get('acl', context), 'user'),
  command('get map', '<map> <value>', 'report the keys and values matching a sample for a map', (context) => get('map', context), 'user'),
  command('set map', '<map> [<key>|#<ref>] <value>', 'modify a map entry', setMap),
  command('show acl', '[@<ver>] [<acl>]', "report available acls or dump an acl's contents", (context) => show('acl', context), 'user'),
  command('show map', '[@<ver>] [<map>]', "report available maps or dump a map's contents", (context) => show('map', context), 'user'),
];
