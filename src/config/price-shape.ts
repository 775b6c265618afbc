import type {Shape} from './shapes.ts';

/** Of `rate-active` and `rate-stored`. */
export const pricePerGbHour: Shape<number> = {
  usage: '<price>',
  read(args) {
    const word = args.take('<price>');
    if (!/^\d{1,9}(?:\.\d{1,12})?$/.test(word.text)) throw args.invalid(word, 'a price for a GB-hour such as 0.06 is expected');
    return Number(word.text);
  },
};
