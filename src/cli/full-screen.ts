/** A screen of our own on the terminal, which gets its own back however this process ends, but for SIGKILL. */

export interface FullScreen extends Disposable {
  draw(lines: readonly string[]): void;
  /** Gives the terminal back, and stops until somebody continues us. */
  suspend(): void;
}

/** Arrows and their like are several characters; more than one key may come at once. */
const oneKey = /\x1b[[O][A-Z]|[\s\S]/g;
const enter = '\x1b[?1049h\x1b[?25l';
const leave = '\x1b[?25h\x1b[?1049l';

/** @param onKey what was pressed, as the terminal sends it. @param onResize the terminal has another size, or is ours again */
export function openFullScreen({onKey, onResize}: {readonly onKey: (key: string) => void; readonly onResize: () => void}): FullScreen {
  const {stdin, stdout} = process;
  let isOurs = false;
  const take = (): void => {
    isOurs = true;
    stdin.setRawMode(true);
    stdin.resume();
    stdout.write(enter);
  };
  const giveBack = (): void => {
    if (!isOurs) return;
    isOurs = false;
    stdout.write(leave);
    stdin.setRawMode(false);
    stdin.pause();
  };
  const onData = (data: Buffer): void => {
    for (const key of data.toString().match(oneKey) ?? []) onKey(key);
  };
  const onContinue = (): void => {
    take();
    onResize();
  };
  process.on('exit', giveBack);
  process.on('SIGCONT', onContinue);
  stdin.on('data', onData);
  stdout.on('resize', onResize);
  take();
  return {
    draw(lines) {
      if (isOurs) stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
    },
    suspend() {
      giveBack();
      process.kill(process.pid, 'SIGTSTP');
    },
    [Symbol.dispose]() {
      giveBack();
      process.off('exit', giveBack);
      process.off('SIGCONT', onContinue);
      stdin.off('data', onData);
      stdout.off('resize', onResize);
    },
  };
}
