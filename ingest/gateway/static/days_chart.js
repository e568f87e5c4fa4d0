/** The chart of days: a pale bar for each day, a narrow one inside for each device, lanes of marks. */

import { scale, ticksTo, valueAxis } from "./axes.js";
import { Cursor } from "./cursor.js";
import { coloring } from "./days.js";
import { byId, drawn, label } from "./elements.js";
import { BASES, LATE, RESET, bar, outline } from "./shapes.js";
import { MEASURES, counted, number, periodText, rounded, tickText } from "./words.js";

const BARS_MAX = 120;
const LANES = ["reset", "late", "basis"];
const PLOT = { left: 52, right: 8, top: 14, lane: 17, below: 28 };
const DRAG_MIN = 6;

export class DaysChart {
  #frame;
  #cursor;
  #shown = null;
  #bars = [];
  #band = null;
  #drag = null;
  #hooks;

  /** `onOpen(bar, unit)`, `onReach(day)`, `onPan(days)`, `onZoom(factor, around)`. */
  constructor(frame, hooks) {
    this.#frame = frame;
    this.#hooks = hooks;
    this.#cursor = new Cursor(frame, {
      label: "Days",
      help: "days-help",
      onMove: (index) => this.#highlight(index),
      onOpen: (index) => { if (!this.#drag?.moved) hooks.onOpen(this.#bars[index], this.#shown.unit); },
      onKey: (event) => this.#press(event.key),
    });
    new ResizeObserver(() => { if (this.#shown) this.show(this.#shown); }).observe(frame);
    this.#listenToDrags();
  }

  /** Draws the days of a span; `reached` is the day that the cursor moves to. */
  show({ days, span, measure, selected, reached = this.#cursorDay() }) {
    const width = Math.max(260, this.#frame.clientWidth);
    const height = width < 560 ? 250 : 300;
    const room = width - PLOT.left - PLOT.right;
    const { unit, bars } = days.bars(span, Math.min(BARS_MAX, Math.floor(room / 6)));
    this.#shown = { days, span, measure, selected, unit };
    const slot = room / bars.length;
    this.#bars = bars.map((one, place) => ({ ...one, x: PLOT.left + slot * place, width: slot })).filter((one) => one.totals.length);
    const drawing = this.#drawing({ width, height, places: bars.map((one, place) => ({ ...one, x: PLOT.left + slot * place })), slot });
    const marks = this.#bars.map((one) => ({ x: one.x + slot / 2, words: wordsOf(one, unit, measure) }));
    byId("days-unit").textContent = unit === "day" ? "" : `Each bar is the average day of a ${unit}; choose it to see its days.`;
    this.#cursor.set(drawing, marks, reached === null ? -1 : this.#bars.findIndex((one) => one.first <= reached && reached <= one.last));
  }

  #cursorDay() {
    return this.#bars[this.#cursor.at]?.first ?? null;
  }

  #drawing({ width, height, places, slot }) {
    const { days, measure, unit, selected } = this.#shown;
    const bottom = height - PLOT.below - PLOT.lane * LANES.length;
    const { field } = MEASURES[measure];
    const ticks = ticksTo(Math.max(1, ...this.#bars.map((one) => one[field])), 4);
    const y = scale([0, ticks.at(-1)], [bottom, PLOT.top]);
    const chosen = this.#bars.find((one) => one.first <= selected && selected <= one.last);
    this.#band = drawn("rect", { class: "band", x: 0, y: PLOT.top - 6, width: slot, height: height - PLOT.below - PLOT.top + 6, visibility: "hidden" });
    return drawn("svg", { width, height, "aria-hidden": "true" },
      chosen && drawn("rect", { class: "chosen", x: chosen.x, y: PLOT.top - 6, width: slot, height: height - PLOT.below - PLOT.top + 6 }),
      valueAxis(ticks, y, { left: PLOT.left, right: width - PLOT.right }),
      this.#band,
      drawn("path", { class: "whole", d: this.#bars.map((one) => bar(one.x + gap(slot), y(one[field]), slot - 2 * gap(slot), bottom)).join("") }),
      ...devicePaths(this.#bars, { coloringOf: coloring(days.devices()), field, y, slot, bottom }),
      lanes(this.#bars, { slot, bottom }),
      dateLabels(places, { unit, slot, y: height - 7, right: width }));
  }

  #highlight(index) {
    if (!this.#band) return;
    const one = this.#bars[index];
    this.#band.setAttribute("visibility", one ? "visible" : "hidden");
    if (one) this.#band.setAttribute("x", one.x);
  }

  /** Keys that lead out of what is drawn. */
  #press(key) {
    this.#drag = null;
    const { days, span } = this.#shown;
    const at = this.#bars[this.#cursor.at] ?? this.#bars.at(-1);
    const reach = (day) => { if (day !== undefined) this.#hooks.onReach(day); return true; };
    const length = span.last - span.first + 1;
    switch (key) {
      case "ArrowLeft": return at === this.#bars[0] && reach(days.before(at?.first ?? span.first));
      case "ArrowRight": return at === this.#bars.at(-1) && reach(days.after(at?.last ?? span.last));
      case "Home": return reach(days.first);
      case "End": return reach(days.last);
      case "PageUp": this.#hooks.onPan(-length); return true;
      case "PageDown": this.#hooks.onPan(length); return true;
      case "+": this.#hooks.onZoom(0.5, at?.first ?? span.last); return true;
      case "-": this.#hooks.onZoom(2, at?.first ?? span.last); return true;
      default: return false;
    }
  }

  #listenToDrags() {
    this.#frame.addEventListener("pointerdown", (event) => {
      this.#drag = event.button === 0 ? { x: event.clientX, moved: false, rest: 0 } : null;
    });
    this.#frame.addEventListener("pointermove", (event) => {
      if (this.#drag && event.buttons === 1) this.#dragTo(event);
    });
    this.#frame.addEventListener("wheel", (event) => {
      if (Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      this.#hooks.onPan(Math.sign(event.deltaX) * Math.max(1, Math.round(Math.abs(event.deltaX) / this.#dayWidth())));
    }, { passive: false });
  }

  #dragTo(event) {
    const by = event.clientX - this.#drag.x;
    if (!this.#drag.moved && Math.abs(by) < DRAG_MIN) return;
    if (!this.#drag.moved) this.#frame.setPointerCapture(event.pointerId);
    this.#drag.moved = true;
    const days = Math.trunc(-by / this.#dayWidth());
    if (days === 0) return;
    this.#drag.x = event.clientX;
    this.#hooks.onPan(days);
  }

  #dayWidth() {
    const { span } = this.#shown;
    return (this.#frame.clientWidth - PLOT.left - PLOT.right) / (span.last - span.first + 1);
  }
}

function devicePaths(bars, { coloringOf, field, y, slot, bottom }) {
  const present = new Set(bars.flatMap((one) => [...one.devices.keys()].map((id) => coloringOf(id).color)));
  const order = [...present].sort((a, b) => a - b);
  const inner = (slot - 2 * gap(slot)) * (order.length > 1 ? 0.88 : 0.64);
  const part = inner / order.length;
  return order.map((color, place) => {
    const shapes = bars.map((one) => {
      const values = [...one.devices].filter(([id]) => coloringOf(id).color === color).map(([, value]) => value[field]);
      return bar(one.x + (slot - inner) / 2 + part * place, y(Math.max(0, ...values)), part * 0.9, bottom);
    });
    return drawn("path", { class: `device c${color}`, d: shapes.join("") });
  });
}

/** A mark that stands for several days is the larger, the more of them it is true of. */
function lanes(bars, { slot, bottom }) {
  const r = Math.min(4.2, slot * 0.4);
  const middle = (lane) => bottom + 4 + PLOT.lane * (lane + 0.6);
  const counted = (lane, shape, field) => {
    const most = Math.max(...bars.map((one) => one[field]));
    return bars.map((one) => (one[field] ? outline(shape, one.x + slot / 2, middle(lane), r * Math.max(0.4, Math.sqrt(one[field] / most))) : "")).join("");
  };
  const bases = bars.map((one) => outline(BASES[one.basis], one.x + slot / 2, middle(2), r * 0.85)).join("");
  return drawn("g", { class: "lanes" },
    ...LANES.map((name, lane) => label(PLOT.left - 8, middle(lane) + 4, name, { "text-anchor": "end" })),
    drawn("path", { class: "mark-reset", d: counted(0, RESET, "resetDays") }),
    drawn("path", { class: "mark-late", d: counted(1, LATE, "late") }),
    drawn("path", { class: "mark-basis", d: bases }));
}

function dateLabels(places, { unit, slot, y, right }) {
  const step = Math.max(1, Math.ceil(78 / slot));
  const shown = places.filter((_, place) => place % step === 0);
  return drawn("g", { class: "axis" }, ...shown.map((one) => {
    const x = Math.min(one.x + slot / 2, right - 26);
    return label(x, y, tickText(one.first, unit), { "text-anchor": "middle" });
  }));
}

function gap(slot) {
  return Math.min(2, slot * 0.08);
}

function wordsOf(one, unit, measure) {
  const { field, unit: of } = MEASURES[measure];
  const value = unit === "day" ? number : rounded;
  const [total] = one.totals;
  const head = unit === "day" ? `${number(one[field])} ${of}` : `${rounded(one[field])} ${of} a day, ${counted(one.totals.length, "day")}`;
  const devices = [...one.devices].slice(0, 8).map(([id, part]) => `${id}: ${value(part[field])}`);
  return [
    periodText(one, unit), head, ...devices,
    one.devices.size > 8 && `${one.devices.size - 8} more devices`,
    `from ${one.basis === "mixed" ? "snapshots and events" : one.basis}`,
    one.resets > 0 && counted(one.resets, "reset"),
    one.late > 0 && (unit === "day" ? "changed late" : `${counted(one.late, "day")} changed late`),
    unit === "day" && `revision ${total.revision}`,
  ].filter(Boolean);
}
