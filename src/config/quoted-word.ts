/** A text as one word of a file, whatever is in it. */
export function quotedWord(text: string): string {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}
