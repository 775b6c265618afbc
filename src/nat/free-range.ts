import {run} from '../core/command.ts';
import {CodedError} from '../core/errors.ts';
import {ipv4ToNumber, ipv4ToText, type Range, rangeBounds} from './ipv4.ts';

const options = {timeoutMs: 10_000};

interface Network {
  readonly first: number;
  readonly last: number;
}

/** Private networks of size /16 in the order in which they are tried: 10.77 to 10.255, 10.0 to 10.76, 172.16 to 172.31. */
function* candidates(): Generator<number> {
  for (let step = 0; step < 256; step++) yield ipv4ToNumber(`10.${(77 + step) % 256}.0.0`);
  for (let second = 16; second < 32; second++) yield ipv4ToNumber(`172.${second}.0.0`);
}

function parseNetwork(text: string): Network | undefined {
  const found = /^(\d+\.\d+\.\d+\.\d+)(?:\/(\d+))?$/.exec(text);
  if (found === null) return undefined;
  const size = 2 ** (32 - Number(found[2] ?? 32));
  const address = ipv4ToNumber(found[1] ?? '');
  const first = address - (address % size);
  return {first, last: first + size - 1};
}

function isFree(first: number, last: number, networks: readonly Network[]): boolean {
  return networks.every((network) => network.last < first || network.first > last);
}

/**
 * The first private /16 that overlaps none of these. Pure.
 * @param used networks as `ip` prints them, `10.0.0.0/8` or `10.0.0.1`; others (`default`) are ignored
 * @returns undefined when none is free
 */
export function chooseRange(used: readonly string[]): Range | undefined {
  const networks = used.map(parseNetwork).filter((network) => network !== undefined);
  for (const first of candidates()) {
    const last = first + 0xffff;
    if (isFree(first, last, networks)) return {address: ipv4ToText(first), prefixLength: 16};
  }
  return undefined;
}

/**
 * The first free private /16, beginning at 10.77.0.0.
 * @param taken further networks that are not free, as `ip` prints them
 * @throws CodedError ERR_NO_FREE_RANGE, CommandError
 */
export async function firstFreeRange(taken: readonly string[] = []): Promise<Range> {
  const range = chooseRange([...(await usedNetworks()), ...taken]);
  if (range !== undefined) return range;
  throw new CodedError(
    'ERR_NO_FREE_RANGE',
    'Cannot find a free private range: routes, and tables of gateways, cover 10.0.0.0/8 and 172.16.0.0/12; set "private-range"',
    {
      source: 'host',
    },
  );
}

/** A network of this host, or of `taken`, that overlaps the range; undefined when it is free. @throws CommandError */
export async function overlappingNetwork(range: Range, taken: readonly string[] = []): Promise<string | undefined> {
  const {first, last} = rangeBounds(range);
  return [...(await usedNetworks()), ...taken].find((text) => {
    const network = parseNetwork(text);
    return network !== undefined && !isFree(first, last, [network]);
  });
}

async function usedNetworks(): Promise<string[]> {
  const [routes, addresses, tables] = await Promise.all([
    run(['ip', '-4', '-o', 'route', 'show', 'table', 'all'], options),
    run(['ip', '-4', '-o', 'addr', 'show'], options),
    networksOfTables(),
  ]);
  // The first word that looks like a network is a route's destination (a type such as `local` may precede it), or an address.
  const shown = [...routes.stdout.split('\n'), ...addresses.stdout.split('\n')]
    .map((line) => /(?:^| )(\d+\.\d+\.\d+\.\d+(?:\/\d+)?)(?= |$)/.exec(line.startsWith('default') ? '' : line)?.[1])
    .filter((network) => network !== undefined);
  return [...shown, ...tables];
}

/** Of gateways that run, and of those that were killed: their tables are there without their routes, and let nobody else have packets for their ranges. */
async function networksOfTables(): Promise<string[]> {
  const {stdout} = await run(['nft', 'list', 'tables'], options);
  const networks = await Promise.all(
    [...stdout.matchAll(/^table ip (picogate_\w+)$/gm)].map(async ([, table = '']) => {
      // Removed meanwhile, or made by another version.
      const chain = await run(['nft', 'list', 'chain', 'ip', table, 'forward'], options).catch(() => null);
      return /ip daddr (\d+\.\d+\.\d+\.\d+\/\d+) /.exec(chain?.stdout ?? '')?.[1];
    }),
  );
  return networks.filter((network) => network !== undefined);
}
