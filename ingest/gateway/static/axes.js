/** Scales and axes that every chart here shares. */

import { drawn, label } from "./elements.js";
import { clockText, compact } from "./words.js";

const HOUR_MS = 3_600_000;

/** Round values from 0 to at least `most`, about `count` of them. */
export function ticksTo(most, count) {
  const rough = Math.max(most, 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let value = 0; ; value += step) {
    ticks.push(value);
    if (value >= most) return ticks;
  }
}

/** A function from values to places, both given as [first, last]. */
export function scale([from, to], [start, end]) {
  const factor = to === from ? 0 : (end - start) / (to - from);
  return (value) => start + (value - from) * factor;
}

/** Lines across at each tick, and their values on the left. */
export function valueAxis(ticks, y, { left, right }) {
  return drawn("g", { class: "axis" },
    ...ticks.map((tick) => drawn("path", { class: tick === 0 ? "line zero" : "line", d: `M${left} ${Math.round(y(tick)) + 0.5}H${right}` })),
    ...ticks.map((tick) => label(left - 8, y(tick) + 4, compact(tick), { "text-anchor": "end" })));
}

/** Hours below a chart of a day; about one label in 70 pixels. */
export function hourAxis([from, to], x, { top, bottom, right }) {
  const room = Math.max(2, Math.abs(x(to) - x(from)) / 70);
  const hours = [1, 2, 3, 6, 12, 24, 48].find((step) => (to - from) / HOUR_MS / step <= room) ?? 96;
  const marks = [];
  for (let at = Math.ceil(from / HOUR_MS / hours) * HOUR_MS * hours; at <= to; at += HOUR_MS * hours) {
    marks.push(drawn("path", { class: "line", d: `M${Math.round(x(at)) + 0.5} ${top}V${bottom + 4}` }),
      label(Math.min(x(at), right - 17), bottom + 18, clockText(at), { "text-anchor": "middle" }));
  }
  return drawn("g", { class: "axis" }, ...marks);
}
