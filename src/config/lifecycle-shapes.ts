/** What may follow the keywords of `app` sections that say how an app comes to run. */
import type {Arguments} from './arguments.ts';
import {isStraightPath, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parsePort} from './units.ts';
import type {Readiness, RestoreStep, StatusRange} from './value.ts';

const restoreSteps = ['retry', 'previous', 'cold-start'] as const;

/** In the order in which they are tried. */
export const restoreFailure: Shape<readonly RestoreStep[]> = {
  usage: 'fail | (retry | previous | cold-start)... [fail]',
  read(args) {
    const steps: RestoreStep[] = [];
    while (!args.atEnd || steps.length === 0) {
      const word = args.take('retry, previous, cold-start or fail');
      if (word.text === 'fail') return steps;
      const step = restoreSteps.find((known) => known === word.text);
      if (step === undefined) throw args.invalid(word, `retry, previous, cold-start and fail are possible${didYouMean(word.text, [...restoreSteps, 'fail'])}`);
      if (steps.includes(step)) throw args.invalid(word, 'it is there already');
      if (step === 'retry' && steps.length > 0) throw args.invalid(word, `'retry' comes first`);
      // Nothing is given up for a failure that passes.
      if (steps.length === 0 && step !== 'retry') steps.push('retry');
      steps.push(step);
    }
    return steps;
  },
};

type HttpReadiness = Extract<Readiness, {kind: 'http'}>;
/** `port` null: the first exposed one of TCP. */
type HttpLine = Omit<HttpReadiness, 'port'> & {readonly port: number | null};
export type ReadinessLine = Exclude<Readiness, HttpReadiness> | HttpLine;

/** `tcp 80 443`, `http /healthz port 8080 status 200,204` or `none`. */
export const readiness: Shape<ReadinessLine> = {
  usage: 'tcp <port>... | http <path> [port <port>] [status <codes>] | none',
  read(args) {
    const word = args.take('tcp, http or none');
    switch (word.text) {
      case 'none':
        return {kind: 'none'};
      case 'tcp': {
        const ports = [args.takeParsed('<port>', parsePort)];
        while (!args.atEnd) ports.push(args.takeParsed('<port>', parsePort));
        return {kind: 'tcp', ports};
      }
      case 'http':
        return readHttp(args);
      default:
        throw args.invalid(word, `tcp, http and none are possible${didYouMean(word.text, ['tcp', 'http', 'none'])}`);
    }
  },
};

function readHttp(args: Arguments): HttpLine {
  const path = args.take('<path>');
  if (!isStraightPath(path.text) || !/^[\x21-\x7e]+$/.test(path.text)) throw args.invalid(path, 'a path such as /healthz is expected');
  let port: number | null = null;
  let statuses: readonly StatusRange[] = [{low: 200, high: 399}];
  while (!args.atEnd) {
    const option = args.take('<option>');
    if (option.text === 'port') port = args.takeParsed('<port>', parsePort);
    else if (option.text === 'status') statuses = readStatuses(args);
    else throw args.invalid(option, `port and status are possible${didYouMean(option.text, ['port', 'status'])}`);
  }
  return {kind: 'http', path: path.text, port, statuses};
}

function readStatuses(args: Arguments): readonly StatusRange[] {
  const word = args.take('<codes>');
  return word.text.split(',').map((range) => {
    const [, low = '', high = low] = /^([1-5]\d{2})(?:-([1-5]\d{2}))?$/.exec(range) ?? [];
    if (low === '' || Number(high) < Number(low)) throw args.invalid(word, 'a status such as 200 or a range such as 200-399 is expected');
    return {low: Number(low), high: Number(high)};
  });
}
