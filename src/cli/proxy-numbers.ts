import type {BackendConfig, FrontendConfig} from '../config/proxy-value.ts';
import type {Config} from '../config/value.ts';

/** HAProxy gives 1 to its own statistics. */
const firstNumber = 2;

/** The number of each proxy: in the order of the files, the same for both halves of a `listen` section. */
export function proxyNumbers({files, frontends, backends}: Config): ReadonlyMap<FrontendConfig | BackendConfig, number> {
  const fileNumbers = new Map(files.map((path, index) => [path, index]));
  const proxies = [...frontends, ...backends].sort(
    ({position: a}, {position: b}) => (fileNumbers.get(a.file) ?? 0) - (fileNumbers.get(b.file) ?? 0) || a.line - b.line,
  );
  const numbers = new Map<FrontendConfig | BackendConfig, number>();
  let number = firstNumber - 1;
  let before = '';
  for (const proxy of proxies) {
    const place = `${proxy.position.file}:${proxy.position.line}`;
    if (place !== before) number++;
    before = place;
    numbers.set(proxy, number);
  }
  return numbers;
}
