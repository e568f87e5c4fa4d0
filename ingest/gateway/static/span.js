/** Spans of days, {first, last}: which one to show, and how it moves and grows. */

import { numberOf, today } from "./dates.js";

const DAYS = { wide: 90, narrow: 30, least: 14 };

/** The span that a place names, or the last days of a user, moved so far that it holds the day named. */
export function spanOf(place, days) {
  const [first, last, day] = [place.from, place.to, place.day].map(numberOf);
  if (first !== null && last !== null && first <= last) return { first, last };
  const span = lastDays(days, usualDays());
  return days.size && day !== null ? holding(span, day) : span;
}

/** The last so many days, or all for null; no longer than there are days, but never tiny. */
export function lastDays(days, count) {
  const last = days?.last ?? today();
  const first = days?.first ?? last;
  const wanted = count === null ? first : Math.max(first, last - count + 1);
  return { first: Math.min(last - DAYS.least + 1, wanted), last };
}

/** The span when the last day of all is another than `known`: first wider, then moved along. */
export function following(span, known, days) {
  const { last } = days;
  if (last <= known.last || span.last < known.last) return span;
  const isAll = span.first <= known.first && last - span.first < usualDays();
  return isAll ? { first: span.first, last: Math.max(last, span.last) } : holding(span, last);
}

/** A span of days moved within the bounds of all days, as far as it goes. */
export function moved({ first, last }, by, bounds) {
  const room = by < 0 ? Math.min(0, bounds.first - first) : Math.max(0, bounds.last - last);
  const step = by < 0 ? Math.max(by, room) : Math.min(by, room);
  return { first: first + step, last: last + step };
}

/** A span around a day, `factor` times as long; at least a week, at most all days. */
export function zoomed({ first, last }, factor, around, bounds) {
  const days = last - first + 1;
  const all = Math.max(7, bounds.last - bounds.first + 1);
  const wanted = Math.min(all, Math.max(7, Math.round(days * factor)));
  const share = Math.min(1, Math.max(0, (around - first + 0.5) / days));
  const start = Math.round(around + 0.5 - share * wanted);
  const kept = Math.max(bounds.first, Math.min(start, bounds.last - wanted + 1));
  return { first: kept, last: kept + wanted - 1 };
}

/** The span moved so far that it holds a day. */
export function holding({ first, last }, number) {
  const by = number < first ? number - first : Math.max(0, number - last);
  return { first: first + by, last: last + by };
}

function usualDays() {
  return innerWidth < 700 ? DAYS.narrow : DAYS.wide;
}
