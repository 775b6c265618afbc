/** The programs that the gateway starts. */
import {run} from '../../core/command.ts';
import {CodedError, errorCode} from '../../core/errors.ts';
import {type Argv, criuCommand} from '../../core/tools.ts';
import type {Check} from './finding.ts';

const timeoutMs = 30_000;
const setUp = 'run "sh tools/with-setup install" as root in the directory of Picogate, or install it';

/** Older ones cannot dump sockets on Linux 6.16 and newer, and some do not start at all on current kernels. */
const oldestCriu = {major: 4, minor: 2} as const;

/** @param criu the path that the configuration names, or null */
export function programChecks(criu: string | null): readonly Check[] {
  return [
    {
      name: 'CRIU',
      needed: true,
      cost: `no app can be put to sleep or woken; ${setUp}`,
      asRoot: false,
      probe: async () => {
        const argv = criuCommand(criu);
        const version = await criuVersion(argv);
        const [major = 0, minor = 0] = version.split('.').map(Number);
        if (major < oldestCriu.major || (major === oldestCriu.major && minor < oldestCriu.minor)) {
          throw new CodedError('ERR_OLD_CRIU', `${version}, which is older than ${oldestCriu.major}.${oldestCriu.minor}: ${argv.join(' ')}`, {source: 'host'});
        }
        return {found: `${version}: ${argv.at(-1) ?? ''}`};
      },
    },
    {
      name: 'criu check',
      needed: true,
      cost: 'this kernel lacks what CRIU needs to dump or restore',
      asRoot: true,
      probe: async () => {
        await run([...criuCommand(criu), 'check'], {timeoutMs});
        return {found: 'passed'};
      },
    },
    program('runc', ['runc', '--version'], `no app can be started for the first time; ${setUp}`),
    program('nft', ['nft', '--version'], `no packet reaches an app; ${setUp} (package nftables)`),
    program('ip', ['ip', '-Version'], `no network can be made for an app; ${setUp} (package iproute2)`),
    program('unshare', ['unshare', '--version'], 'programs cannot be started in namespaces; install util-linux'),
    program('nsenter', ['nsenter', '--version'], 'CRIU cannot be started in the network of an app; install util-linux'),
    program('setpriv', ['setpriv', '--version'], 'programs would outlive a gateway that is killed; install util-linux'),
    {
      name: 'Redis',
      needed: false,
      cost: `no private Redis can be started: name one in the configuration (global: redis redis://HOST), or ${setUp} (package redis-server or valkey-server)`,
      asRoot: false,
      probe: async () => ({
        found: firstLine(
          await firstThatRuns([
            ['redis-server', '--version'],
            ['valkey-server', '--version'],
          ]),
        ),
      }),
    },
  ];
}

function program(name: string, argv: Argv, cost: string): Check {
  return {name, needed: true, cost, asRoot: false, probe: async () => ({found: firstLine((await run(argv, {timeoutMs})).stdout)})};
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}

async function criuVersion(argv: Argv): Promise<string> {
  const {stdout} = await run([...argv, '--version'], {timeoutMs});
  return /^Version:\s*(\S+)/m.exec(stdout)?.[1] ?? 'unknown version';
}

async function firstThatRuns(candidates: readonly [Argv, ...Argv[]]): Promise<string> {
  const [candidate, ...others] = candidates;
  try {
    return (await run(candidate, {timeoutMs})).stdout;
  } catch (error) {
    const [next, ...rest] = others;
    if (errorCode(error) !== 'ERR_COMMAND_MISSING' || next === undefined) throw error;
    return firstThatRuns([next, ...rest]);
  }
}
