/** How many apps a host has room for when those that nobody needs sleep, and what a day of them costs. */
import {suiteOfParts} from '../parts.ts';
import {asleepPart} from './asleep.ts';
import {awakePart} from './awake.ts';
import {dayPart} from './day-report.ts';

export const densitySuite = suiteOfParts({
  name: 'density',
  summary: 'apps that fit into a given memory, awake and asleep; a day of 1,000 mostly idle apps in 20 minutes',
  defaultRounds: 1,
  title: 'Many apps that are mostly idle',
  parts: [awakePart, asleepPart, dayPart],
});
