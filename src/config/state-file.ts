import type {Shape} from './shapes.ts';

/** `server-state-file-name`; null: the file is called as the backend is. */
export const stateFileName: Shape<string | null> = {
  usage: '[use-backend-name | <file>]',
  read(args) {
    const name = args.atEnd ? '' : args.take('<file>').text;
    return name === '' || name === 'use-backend-name' ? null : name;
  },
};
