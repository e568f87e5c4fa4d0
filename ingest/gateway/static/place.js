/** What is shown, kept behind the # of the address so that it can be sent, and gone back to. */

import { numberOf } from "./dates.js";
import { MEASURES } from "./words.js";

const NAMES = ["user", "from", "to", "day", "measure"];

/** {user, from, to, day, measure}; null for what is not there or makes no sense. */
export function read() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const date = (name) => (numberOf(fields.get(name)) === null ? null : fields.get(name));
  const measure = fields.get("measure");
  return {
    user: fields.get("user") || null,
    from: date("from"),
    to: date("to"),
    day: date("day"),
    measure: measure in MEASURES ? measure : "steps",
  };
}

export function textOf(place) {
  const fields = new URLSearchParams();
  for (const name of NAMES) {
    if (place[name] && !(name === "measure" && place[name] === "steps")) fields.set(name, place[name]);
  }
  return `#${fields}`;
}

/** A step that one can go back from. */
export function enter(place) {
  if (textOf(place) !== location.hash) history.pushState(null, "", textOf(place));
}

/** The same step, seen from a little further on. */
export function adjust(place) {
  if (textOf(place) !== location.hash) history.replaceState(null, "", textOf(place));
}

export function onChange(listener) {
  addEventListener("popstate", listener); // also when the hash is typed or a link to one is followed
}
