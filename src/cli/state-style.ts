import type {AppState} from '../store/app-record.ts';
import type {Style} from './terminal.ts';

const styles: Readonly<Partial<Record<AppState, Style>>> = {running: 'green', reviving: 'yellow', draining: 'yellow', checkpointing: 'yellow', failed: 'red'};

/** How the state of an app is coloured, wherever it is listed. */
export function stateStyle(state: AppState): Style | null {
  return styles[state] ?? null;
}
