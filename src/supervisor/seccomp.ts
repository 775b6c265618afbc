/**
 * System calls that no app gets: what reaches beyond its namespaces, what only serves to attack the kernel, and what
 * CRIU cannot save. Everything else is allowed, with the few capabilities that a container has.
 */
interface Refusal {
  readonly why: string;
  readonly names: readonly string[];
  /** EPERM, or ENOSYS where programs then fall back to an older call. */
  readonly as: 'EPERM' | 'ENOSYS';
}

const refusals = [
  {why: 'cannot be checkpointed; programs fall back to epoll', as: 'ENOSYS', names: ['io_uring_setup', 'io_uring_enter', 'io_uring_register']},
  {why: 'belongs to the pager, and has been a favourite tool of kernel exploits', as: 'EPERM', names: ['userfaultfd']},
  {why: 'the flags of clone3 lie in memory, where no filter can see a new user namespace; C libraries fall back to clone', as: 'ENOSYS', names: ['clone3']},
  {
    why: 'changes mounts or roots',
    as: 'EPERM',
    names: ['mount', 'umount2', 'pivot_root', 'open_tree', 'open_tree_attr', 'move_mount', 'fsopen', 'fsconfig', 'fsmount', 'fspick', 'mount_setattr'],
  },
  {why: 'enters or makes namespaces', as: 'EPERM', names: ['setns', 'unshare']},
  {why: 'loads code into the kernel', as: 'EPERM', names: ['bpf', 'init_module', 'finit_module', 'delete_module', 'kexec_load', 'kexec_file_load']},
  {
    why: 'acts on the whole machine',
    as: 'EPERM',
    names: ['reboot', 'swapon', 'swapoff', 'acct', 'quotactl', 'quotactl_fd', 'syslog', 'vhangup', 'ioperm', 'iopl'],
  },
  {why: 'sets the clock that all share', as: 'EPERM', names: ['settimeofday', 'clock_settime', 'clock_adjtime', 'adjtimex']},
  {why: 'CRIU traces the processes itself, and a traced process cannot be checkpointed', as: 'EPERM', names: ['ptrace']},
  {
    why: 'reads or drives the memory and descriptors of other processes',
    as: 'EPERM',
    names: ['process_vm_readv', 'process_vm_writev', 'process_madvise', 'pidfd_getfd', 'kcmp'],
  },
  {why: 'kernel keys are not separated by namespaces', as: 'EPERM', names: ['keyctl', 'add_key', 'request_key']},
  {why: 'watches the machine, and cannot be checkpointed', as: 'EPERM', names: ['perf_event_open', 'fanotify_init', 'lookup_dcookie']},
  {why: 'opens files around the root of the container', as: 'EPERM', names: ['open_by_handle_at']},
  {why: 'moves memory between nodes of the machine', as: 'EPERM', names: ['move_pages', 'migrate_pages']},
  {why: 'secret memory cannot be read by CRIU', as: 'ENOSYS', names: ['memfd_secret']},
  {why: 'obsolete; only attacks still use it', as: 'ENOSYS', names: ['_sysctl', 'sysfs', 'uselib', 'ustat', 'nfsservctl', 'modify_ldt', 'remap_file_pages']},
] as const satisfies readonly Refusal[];

const errnoOf = {EPERM: 1, ENOSYS: 38} as const;
/** Every namespace flag of clone(2); CLONE_NEWTIME cannot be given to it. */
const namespaceFlags = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000] as const;

const architectures = {x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64'} as const;

/** The `linux.seccomp` part of an OCI configuration. Foreign architectures (32-bit calls) are refused altogether. */
export function seccompProfile(architecture: string = process.arch): object {
  const name = architecture === 'x64' || architecture === 'arm64' ? architectures[architecture] : undefined;
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    ...(name === undefined ? {} : {architectures: [name]}),
    syscalls: [
      ...refusals.map(({names, as}) => ({names, action: 'SCMP_ACT_ERRNO', errnoRet: errnoOf[as]})),
      ...namespaceFlags.map((flag) => ({
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: errnoOf.EPERM,
        args: [{index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ'}],
      })),
    ],
  };
}
