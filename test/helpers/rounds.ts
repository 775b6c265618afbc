/** How often a test tries what depends on a random moment. CI has little time; `PICOGATE_TEST_ROUNDS=5` tries five times as often. */
const factor = Number(process.env['PICOGATE_TEST_ROUNDS'] ?? 1);

export function rounds(usual: number): number {
  return Math.ceil(usual * factor);
}
