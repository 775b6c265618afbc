/** What many clients at once find: of many apps, of one, and of one that just falls asleep; and what traffic to awake apps notices. */
import {suiteOfParts} from '../parts.ts';
import {floodPart} from './flood.ts';
import {meanwhilePart} from './meanwhile.ts';
import {togetherPart} from './together.ts';

export const stormSuite = suiteOfParts({
  name: 'storm',
  summary: '100 apps woken at once, 1,000 connections to one, clients during hibernation; traffic to awake apps meanwhile',
  defaultRounds: 5,
  quickRounds: 2,
  title: 'Many clients at once',
  parts: [togetherPart, floodPart, meanwhilePart],
});
