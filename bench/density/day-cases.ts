/** What is measured of a day. */
export const dayCases = {
  totals: 'a day',
  waiting: 'visitors for whom an app woke',
  others: 'visitors of apps that were awake',
  hour: (hour: number): string => `hour ${hour}`,
} as const;
