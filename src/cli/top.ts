/** `picogate top`: a live screen of the apps. */
import {setTimeout as pause} from 'node:timers/promises';
import {CodedError, errorMessage} from '../core/errors.ts';
import {callControl} from '../store/control.ts';
import {exitStatus} from './exit-status.ts';
import {openFullScreen} from './full-screen.ts';
import {listingTable} from './listing.ts';
import {connectToGateway, printJson} from './remote.ts';
import {lineWidth} from './terminal.ts';
import {type TopSample, takeSample} from './top-sample.ts';
import {type AppAction, drawn, firstView, pressed, shownApps, topColumns, type View} from './top-screen.ts';

export interface TopOptions {
  readonly once: boolean;
  readonly json: boolean;
  /** Between two looks. */
  readonly everyMs: number;
}

type Gateway = Awaited<ReturnType<typeof connectToGateway>>;

const actionMs = 120_000;

/** @returns the exit status */
export async function top(files: readonly string[] | undefined, {once, json, everyMs}: TopOptions): Promise<number> {
  if (!once && !json && !(process.stdin.isTTY && process.stdout.isTTY)) {
    throw new CodedError('ERR_NO_TERMINAL', 'Cannot show a live screen: this is no terminal; --once prints what there is now', {source: 'client'});
  }
  const gateway = await connectToGateway(files);
  await using _owned = gateway.connection;
  const first = await takeSample(gateway, null);
  if (!once && !json) return await live(gateway, first, everyMs);
  const apps = shownApps(first, firstView);
  if (json)
    printJson(
      apps.map(({record: {name, state, worker, since, lastWake}, isPinned, memoryBytes, trafficBytes}) => ({
        name,
        state,
        worker,
        since,
        lastWake,
        pinned: isPinned,
        memoryBytes,
        trafficBytes,
      })),
    );
  else process.stdout.write(listingTable({columns: topColumns(first.atMs), rows: apps}, lineWidth()));
  return exitStatus.done;
}

async function live(gateway: Gateway, first: TopSample, everyMs: number): Promise<number> {
  const stop = new AbortController();
  let [sample, view]: [TopSample, View] = [first, firstView];
  const end = (): void => stop.abort();
  const redraw = (): void => screen.draw(drawn(sample, view, {width: lineWidth(), height: process.stdout.rows}));
  const say = (said: string): void => {
    view = {...view, said};
    redraw();
  };
  const onKey = (key: string): void => {
    const result = pressed(key, view, sample);
    view = result.view;
    const {action} = result;
    if (action?.kind === 'quit') end();
    else if (action?.kind === 'suspend') screen.suspend();
    else if (action !== null) void act(gateway, action, say);
    redraw();
  };
  using screen = openFullScreen({onKey, onResize: redraw});
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  const isOver = (): boolean => stop.signal.aborted;
  while (!isOver()) {
    redraw();
    await pause(everyMs, undefined, {signal: stop.signal}).catch(() => undefined); // Cut short by what the loop looks for.
    if (isOver()) break;
    try {
      sample = await takeSample(gateway, sample);
    } catch (error) {
      view = {...view, said: errorMessage(error)};
    }
  }
  return exitStatus.done;
}

/** Never throws: what it led to is said. */
async function act({connection}: Gateway, action: AppAction, say: (text: string) => void): Promise<void> {
  const {kind, app} = action;
  say(`${app}: ${kind} ...`);
  try {
    const answer = await callControl(connection, kind, {name: app, forMs: null}, {timeoutMs: actionMs});
    say(`${app}: ${typeof answer === 'string' ? answer : `${kind}ned`}`);
  } catch (error) {
    say(errorMessage(error));
  }
}
