/** The days of a span in words: tiles, legend, table. */

import { numberOf } from "./dates.js";
import { OTHERS, coloring, isLate } from "./days.js";
import { byId, element, fill, fillTable } from "./elements.js";
import { textOf } from "./place.js";
import { BASES, LATE, RESET, key } from "./shapes.js";
import { MEASURES, counted, dateText, instantText, number, rounded } from "./words.js";

const ROWS_MAX = 400;

export function fillSummary(totals, measure) {
  const { field, unit } = MEASURES[measure];
  const sum = totals.reduce((value, total) => value + (total[field] ?? 0), 0);
  const best = totals.reduce((most, total) => (total[field] > most[field] ? total : most));
  const resets = totals.filter((total) => total.resets > 0).length;
  const late = totals.filter(isLate).length;
  const tile = (name, value, note) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value, note && element("small", {}, note)));
  fill(byId("summary"),
    tile("Average day", rounded(sum / totals.length), unit),
    tile("Most in a day", rounded(best[field]), dateText(numberOf(best.date))),
    tile("Days with data", rounded(totals.length), null),
    tile("With a reset", rounded(resets), null),
    tile("Changed late", rounded(late), null));
}

export function fillLegend(days, span) {
  const coloringOf = coloring(days.devices());
  const totals = days.between(span);
  const present = new Set(totals.flatMap((total) => Object.keys(total.devices)));
  const has = (basis) => totals.some((total) => total.basis === basis);
  const entries = new Map([...present].map((id) => [coloringOf(id).color, coloringOf(id).name]));
  const sorted = [...entries].sort(([a], [b]) => a - b);
  fill(byId("days-legend"),
    key("square", "whole", "the day"),
    ...sorted.map(([color, name]) => key("square", `c${color}`, name === OTHERS ? "most of the other devices" : name)),
    totals.some((total) => total.resets > 0) && key(RESET, "mark-reset", "a device was reset"),
    totals.some(isLate) && key(LATE, "mark-late", "changed over a day after it ended"),
    has("snapshots") && key(BASES.snapshots, "mark-basis", "from snapshots"),
    has("events") && key(BASES.events, "mark-basis", "from events"),
    has("mixed") && key(BASES.mixed, "mark-basis", "from both"));
}

/** The newest days of the span, newest first; left alone while the focus is in it. */
export function fillDaysTable(days, span, shown) {
  if (byId("days-table").contains(document.activeElement)) return;
  const totals = days.between(span).reverse();
  const rows = totals.slice(0, ROWS_MAX).map((total) => [
    element("a", { href: textOf({ ...shown, day: total.date }) }, total.date),
    number(total.steps), number(total.calories_out), number(total.hr_avg),
    Object.entries(total.devices).map(([id, part]) => `${id}: ${number(part.steps)} steps, ${number(part.calories_out)} kcal`).join("; "),
    total.basis, number(total.resets), isLate(total) ? "yes" : "no", number(total.revision), instantText(total.updated_at),
  ]);
  const cut = totals.length > ROWS_MAX ? `, the newest ${ROWS_MAX} of ${counted(totals.length, "day")}` : "";
  fillTable(byId("days-table"), {
    caption: `Days of ${days.user} from ${dateText(span.first)} to ${dateText(span.last)}${cut}`,
    heads: ["Date", "Steps", "kcal", "Heart rate", "Devices", "Basis", "Resets", "Late", "Revision", "Updated (UTC)"],
    rows,
    numeric: [1, 2, 3, 6, 8],
  });
}
