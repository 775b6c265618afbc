/** `picogate convert`: what would be different, if an existing HAProxy configuration were given to Picogate as it is. */
import {readFile} from 'node:fs/promises';
import type {Diagnostic} from '../config/diagnostic.ts';
import type {Config} from '../config/value.ts';
import {load} from './configuration.ts';
import {insteadOf} from './conversion-advice.ts';
import {exitStatus} from './exit-status.ts';
import {printJson} from './remote.ts';
import {type Style, styled} from './terminal.ts';

export interface ConvertedLine {
  readonly kind: 'refused' | 'without effect' | 'different';
  readonly file: string;
  readonly line: number;
  /** As it stands in the file. */
  readonly text: string;
  readonly reason: string;
  readonly instead: string;
}

export interface Conversion {
  /** Nothing is refused. */
  readonly valid: boolean;
  readonly lines: readonly ConvertedLine[];
  /** What is done otherwise, although every line is taken. */
  readonly notes: readonly string[];
  /** Servers of this host: they could sleep. */
  readonly candidates: readonly {readonly backend: string; readonly server: string; readonly address: string}[];
}

function kindOf({level, message}: Diagnostic): ConvertedLine['kind'] {
  if (level === 'alert') return 'refused';
  return / no effect|no longer/.test(message) ? 'without effect' : 'different';
}

function notesOf({frontends, global}: Config): string[] {
  const notes = [
    {isTrue: true, note: 'a host name of a server that has no address yet is asked for again, and keeps nothing from starting'},
    {
      isTrue: frontends.some(({mode}) => mode === 'http'),
      note: 'HTTP is parsed more strictly: Content-Length beside Transfer-Encoding, bare line feeds and folded fields are refused; statuses 414, 431 and 501 where HAProxy says 400',
    },
    {
      isTrue: frontends.some(({mode}) => mode === 'tcp' || mode === 'http'),
      note: 'one process uses one core, and a reload happens inside it: no second process takes over',
    },
    {isTrue: global.process.daemon, note: '`daemon` counts under the command line of HAProxy only (`picogate -f FILE`), not for `picogate run`'},
  ];
  return notes.flatMap(({isTrue, note}) => (isTrue ? [note] : []));
}

const local = /^(?:127\.|::1$|localhost$)/;

function candidatesOf({backends}: Config): Conversion['candidates'] {
  return backends.flatMap((backend) =>
    backend.servers.flatMap((server) => {
      const {target} = server;
      if (target.kind !== 'address') return [];
      const {host, port} = target;
      return local.test(host) ? [{backend: backend.name, server: server.name, address: `${host}:${port}`}] : [];
    }),
  );
}

/** @throws CodedError ERR_NO_CONFIG when there is no such file */
export async function conversionOf(files: readonly string[]): Promise<Conversion> {
  const {config, diagnostics} = await load(files);
  const texts = new Map<string, readonly string[]>();
  for (const file of new Set(diagnostics.map(({position}) => position.file))) {
    const content = await readFile(file, 'utf8').catch(() => ''); // What could not be read is what the diagnostic says.
    texts.set(file, content.split('\n'));
  }
  const lines = diagnostics.map((diagnostic): ConvertedLine => {
    const {file, line} = diagnostic.position;
    const kind = kindOf(diagnostic);
    const [reason = ''] = diagnostic.message.split('\n');
    return {kind, file, line, text: texts.get(file)?.[line - 1]?.trim() ?? '', reason, instead: insteadOf(diagnostic.message, kind)};
  });
  return {valid: config !== null, lines, notes: config === null ? [] : notesOf(config), candidates: config === null ? [] : candidatesOf(config)};
}

const styles: Readonly<Record<ConvertedLine['kind'], Style>> = {refused: 'red', 'without effect': 'dim', different: 'yellow'};

export function conversionText({valid, lines, notes, candidates}: Conversion): string {
  const parts = lines.map(
    ({kind, file, line, text, reason, instead}) => `${file}:${line}: ${styled(kind, styles[kind])}\n    ${text}\n    ${reason}\n    -> ${instead}\n`,
  );
  if (notes.length > 0) parts.push(`Done otherwise, whatever the lines say:\n${notes.map((note) => `  - ${note}\n`).join('')}`);
  if (candidates.length > 0) {
    const found = candidates.map(({backend, server, address}) => `  - backend ${backend}, server ${server}: ${address}\n`).join('');
    parts.push(`Servers of this host, which could sleep as apps (docs/adopting.md):\n${found}`);
  }
  const count = (kind: ConvertedLine['kind']): number => lines.filter((line) => line.kind === kind).length;
  const verdict = valid ? 'it can be taken as it is' : 'it cannot be taken as it is';
  parts.push(`${count('refused')} refused, ${count('different')} different, ${count('without effect')} without effect: ${verdict}\n`);
  return parts.join('\n');
}

/** @returns the exit status: 0 when the configuration can be taken as it is, else 1 */
export async function convert(files: readonly string[], {json}: {json: boolean}): Promise<number> {
  const conversion = await conversionOf(files);
  if (json) printJson(conversion);
  else process.stdout.write(conversionText(conversion));
  return conversion.valid ? exitStatus.done : exitStatus.refused;
}
