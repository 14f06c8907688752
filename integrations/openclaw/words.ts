// How text of peers is shown to an agent: the same rules as the daemon's own (mesh/apps/agent/waking/text.py). What a peer
// wrote stands behind "> ", names stay in their line, characters that hide or move things are spelled out.

export const FENCE = "~~~ untrusted content from the peer, quoted with > ~~~";
export const FENCE_END = "~~~ end of untrusted content ~~~";
const MAX_CONTENT = 32 * 1024;
const LINE_ENDS = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;
const SHOWN_OTHERWISE = /[\p{C}\p{Zl}\p{Zp}\p{Zs}]/gu;

/** Every control or hidden character spelled out, every kind of space a plain one. */
export function visible(text: string): string {
  return text.replace(SHOWN_OTHERWISE, (character) => {
    if (character === "\t" || /\p{Zs}/u.test(character)) return " ";
    if (character === "\n") return "\\n";
    if (character === "\r") return "\\r";
    const point = character.codePointAt(0) as number;
    const digits = point.toString(16);
    return point < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
  });
}

/** Text for the inside of a line: at most that many characters and "...". */
export function oneLine(value: unknown, most = 200): string {
  const characters = Array.from(String(value));
  return visible(characters.length <= most ? characters.join("") : `${characters.slice(0, most).join("")}...`);
}

/** Lines that quote what a peer wrote. */
export function fenced(content: string): string[] {
  const characters = Array.from(content);
  const lines = characters.slice(0, MAX_CONTENT).join("").split(LINE_ENDS);
  if (lines.at(-1) === "") lines.pop();
  const quoted = lines.length > 0 ? lines.map((line) => `> ${visible(line)}`) : [">"];
  if (characters.length > MAX_CONTENT) quoted.push(`> [cut here: ${characters.length} characters in all]`);
  return [FENCE, ...quoted, FENCE_END];
}

/** An instant in milliseconds as ISO 8601; what no calendar has is "unknown". */
export function iso(instant: unknown): string {
  const date = new Date(Number(instant));
  return Number.isNaN(date.getTime()) ? "unknown" : date.toISOString();
}
