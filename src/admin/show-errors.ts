/** `show errors`: what could not be read, with the place of the error, as HAProxy shows it (management manual, section 9.3). */
import type {ShownProxy, UnreadMessage} from './gateway-control.ts';

const bufferBytes = 16_384;
const noProxy: ShownProxy = {name: '<NONE>', id: -1};

/** What is not printable as an escape. */
const escapes: Readonly<Record<number, string>> = {9: '\\t', 10: '\\n', 13: '\\r', 27: '\\e', 92: '\\\\'};
/** Of a line of the dump, behind the place that is in front of it. */
const maxWidth = 70;

function shown(byte: number): string {
  return escapes[byte] ?? (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`);
}

/** A line of bytes for each line; what is too long goes on in the next, whose place has a `+`. */
function* dump(bytes: Uint8Array): Generator<string> {
  let line = '';
  let from = 0;
  let isContinued = false;
  const lineOf = (): string => `  ${String(from).padStart(5, '0')}${isContinued ? '+' : ' '} ${line}\n`;
  for (const [at, byte] of bytes.entries()) {
    const text = shown(byte);
    if (line.length + text.length > maxWidth) {
      yield lineOf();
      line = '';
      from = at;
      isContinued = true;
    }
    line += text;
    if (byte !== 10) continue;
    yield lineOf();
    line = '';
    from = at + 1;
    isContinued = false;
  }
  if (line !== '') yield lineOf();
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** `28/Nov/2026:13:20:13.176`, as in HAProxy's logs. */
function logDate(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
  return `${two(date.getDate())}/${months[date.getMonth()] ?? ''}/${date.getFullYear()}:${time}`;
}

function named({name, id}: ShownProxy): string {
  return `${name} (#${id})`;
}

function* described(message: UnreadMessage): Generator<string> {
  const {kind, atMs, frontend, backend, server, event, client, bytes, position, reason} = message;
  const [own, other] =
    kind === 'request'
      ? [`frontend ${named(frontend)}`, `backend ${named(backend ?? noProxy)}`]
      : [`backend ${named(backend ?? noProxy)}`, `frontend ${named(frontend)}`];
  yield ` \n[${logDate(new Date(atMs))}] ${own}: invalid ${kind}\n`;
  yield `  ${other}, server ${named(server ?? noProxy)}, event #${event}, src ${client.host}:${client.port}\n`;
  yield `  buffer starts at 0 (including 0 out), ${bufferBytes - bytes.length} free,\n`;
  yield `  len ${bytes.length}, wraps at ${bufferBytes}, error at position ${position}\n`;
  yield `  ${reason} :\n  \n`;
  yield* dump(bytes);
}

/** @param count of all events that there were */
export function* showErrors(count: number, messages: readonly UnreadMessage[]): Generator<string> {
  yield `Total events captured on [${logDate(new Date())}] : ${count}\n`;
  for (const message of messages) yield* described(message);
}
