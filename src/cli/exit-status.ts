/** HAProxy's: 1 for a configuration with errors, 2 when the gateway cannot start. */
export const exitStatus = {badConfiguration: 1, cannotStart: 2} as const;
