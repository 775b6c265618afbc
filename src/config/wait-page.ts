/** `wait-page`: what a browser sees while the app that it wants takes long to wake. */
import {takeFile} from './actions/reply.ts';
import {duration, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';

export interface WaitPage {
  readonly afterMs: number;
  /** An absolute path of a file with a whole answer, as of `errorfile`; null: the built-in page. */
  readonly path: string | null;
}

const defaultAfterMs = 2000;
const words = ['after', 'file', 'off'] as const;

/** Null: `off`. */
export const waitPage: Shape<WaitPage | null> = {
  usage: '[after <time>] [file <file>] | off',
  read(args) {
    if (args.peek()?.text === 'off') {
      args.take('off');
      return null;
    }
    let page: WaitPage = {afterMs: defaultAfterMs, path: null};
    while (!args.atEnd) {
      const word = args.take('<option>');
      if (word.text === 'after') {
        page = {...page, afterMs: duration().read(args)};
      } else if (word.text === 'file') {
        const {path, text, word: file} = takeFile(args);
        if (!/^HTTP\/\d\.\d \d{3}/.test(text)) throw args.invalid(file, 'the file does not begin with the status line of an answer');
        page = {...page, path};
      } else {
        throw args.invalid(word, `${words.join(', ')} are possible${didYouMean(word.text, words)}`);
      }
    }
    return page;
  },
};
