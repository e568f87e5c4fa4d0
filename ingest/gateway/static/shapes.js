/** What stands for what: shapes that differ without their colour, as outlines to be filled. */

import { drawn, element } from "./elements.js";

/** Kinds of snapshots (DESIGN section 4), how they look, and what they say. */
export const KINDS = {
  bootstrap: { shape: "square", text: "first of the day" },
  increment: { shape: "circle", text: "counted on" },
  duplicate: { shape: "dash", text: "nothing new" },
  reset: { shape: "triangle", text: "started again from zero" },
  adjustment: { shape: "diamond", text: "corrected down" },
  glitch: { shape: "cross", text: "zeros by mistake" },
};
export const BASES = { snapshots: "square", events: "ring", mixed: "plus" };
export const RESET = "triangle";
export const LATE = "diamond";

const ARM = 0.28;
const PLUS = [ // its corners; turned by an eighth it is a cross
  [-ARM, -1], [ARM, -1], [ARM, -ARM], [1, -ARM], [1, ARM], [ARM, ARM],
  [ARM, 1], [-ARM, 1], [-ARM, ARM], [-1, ARM], [-1, -ARM], [-ARM, -ARM],
];
const OUTLINES = {
  square: (x, y, r) => box(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
  circle: (x, y, r) => disc(x, y, r),
  ring: (x, y, r) => disc(x, y, r) + disc(x, y, r * 0.5),
  plus: (x, y, r) => points(...PLUS.map(([a, b]) => [x + a * r * 1.15, y + b * r * 1.15])),
  dash: (x, y, r) => box(x - r * 1.1, y - r * 0.4, r * 2.2, r * 0.8),
  triangle: (x, y, r) => points([x - r * 1.15, y - r], [x + r * 1.15, y - r], [x, y + r * 1.05]),
  diamond: (x, y, r) => points([x, y - r * 1.3], [x + r * 1.3, y], [x, y + r * 1.3], [x - r * 1.3, y]),
  cross: (x, y, r) => points(...PLUS.map(([a, b]) => [x + (a - b) * r * 0.8, y + (a + b) * r * 0.8])),
};

/** The outline of a shape around a place, as path data; filled by the rule `evenodd`. */
export function outline(shape, x, y, r) {
  return OUTLINES[shape](x, y, r);
}

/** A bar that stands on a line, its upper corners a little round. */
export function bar(x, top, width, bottom) {
  const height = bottom - top;
  if (height <= 0 || width <= 0) return "";
  const r = Math.min(2, width / 3, height);
  return `M${f(x)} ${f(bottom)}v${f(r - height)}q0 ${f(-r)} ${f(r)} ${f(-r)}h${f(width - 2 * r)}q${f(r)} 0 ${f(r)} ${f(r)}V${f(bottom)}z`;
}

/** A shape between words. */
export function glyph(shape, className) {
  return drawn("svg", { class: `glyph ${className}`, viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" },
    drawn("path", { d: outline(shape, 6, 6, 4.2) }));
}

/** A glyph and what it means. */
export function key(shape, className, text) {
  return element("span", { class: "entry" }, glyph(shape, className), text);
}

function box(x, y, width, height) {
  return `M${f(x)} ${f(y)}h${f(width)}v${f(height)}h${f(-width)}z`;
}

function disc(x, y, r) {
  return `M${f(x - r)} ${f(y)}a${f(r)} ${f(r)} 0 1 0 ${f(2 * r)} 0a${f(r)} ${f(r)} 0 1 0 ${f(-2 * r)} 0z`;
}

function points(...corners) {
  return `M${corners.map(([x, y]) => `${f(x)} ${f(y)}`).join("L")}z`;
}

function f(value) {
  return Math.round(value * 100) / 100;
}
