/** Polls until `condition` holds. @throws Error naming `what` after `timeoutMs` */
export async function until(
  condition: () => boolean | Promise<boolean>,
  {timeoutMs = 10_000, intervalMs = 10, what = 'a condition'}: {timeoutMs?: number; intervalMs?: number; what?: string} = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
