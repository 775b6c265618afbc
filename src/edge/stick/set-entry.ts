/** What an operator writes into a stick table (HAProxy's management guide, `set table`). */
import {CodedError} from '../../core/errors.ts';
import {stickKeyFromText} from './stick-key.ts';
import type {StickTable} from './stick-table.ts';

/**
 * Makes the entry when there is none.
 * @throws CodedError ERR_STICK_KEY, ERR_STICK_DATA, ERR_STICK_FULL; then nothing was changed
 */
export function setEntry(table: StickTable, text: string, data: Readonly<Record<string, number>>): void {
  for (const what of Object.keys(data)) {
    if (table.stores(what)) continue;
    throw new CodedError('ERR_STICK_DATA', `Cannot use data "${what}" of table "${table.name}": it does not store that`, {source: 'client'});
  }
  const key = stickKeyFromText(table.config, text);
  if (key === null) {
    throw new CodedError('ERR_STICK_KEY', `Cannot look up key "${text}" in table "${table.name}": it is no ${table.config.type}`, {source: 'client'});
  }
  const entry = table.use(key);
  if (entry === null) {
    throw new CodedError('ERR_STICK_FULL', `Cannot add a key to table "${table.name}": all of its ${table.used} entries are in use`, {source: 'host'});
  }
  for (const [what, value] of Object.entries(data)) table.set(entry, what, value);
}
