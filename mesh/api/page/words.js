// How text of peers is shown: never as markup, with everything spelled out that hides, moves, or turns the direction.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Text whose hidden characters are spelled out; line ends and tabs stay where lines are wanted. */
export function visible(text, lines = false) {
  return String(text).replace(HIDDEN, (character) => {
    if (lines && (character === "\n" || character === "\t")) return character;
    return `\\u{${character.codePointAt(0).toString(16)}}`;
  });
}

/** At most that many characters of a text on one line. */
export function short(text, most = 80) {
  const characters = Array.from(String(text).slice(0, most * 4));
  return visible(characters.length > most ? `${characters.slice(0, most).join("")}…` : characters.join(""));
}

export const shortId = (peer) => (peer.length > 16 ? `${short(peer.slice(0, 8))}…${short(peer.slice(-6))}` : short(peer));

/** A clock time for today, else a date as well; nothing for never. */
export function moment(instant) {
  const date = new Date(instant);
  if (!instant || Number.isNaN(date.getTime())) return "never";
  const today = date.toDateString() === new Date().toDateString();
  const clock = { hour: "numeric", minute: "2-digit" };
  return today ? date.toLocaleTimeString([], { ...clock, second: "2-digit" }) : date.toLocaleString([], { month: "short", day: "numeric", ...clock });
}

/** `2 d 3 h`, `5 min` and the like. */
export function span(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  return parts.slice(at, at + 2).map(([size, unit], index) => {
    const whole = index === 0 ? seconds : seconds % parts[at][0];
    return `${Math.floor(whole / size)} ${unit}`;
  }).join(" ");
}
