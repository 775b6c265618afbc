/**
 * What root inside a container may do: Docker's default set without two. MKNOD, since /dev is complete and the root is
 * mounted without devices; NET_RAW, since a raw socket could send with the addresses of other apps.
 */
export const containerCapabilities = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const;
