/** The charts of one day: the total so far with its snapshots as shapes, and each hour. */

import { hourAxis, scale, ticksTo, valueAxis } from "./axes.js";
import { Cursor } from "./cursor.js";
import { DAY_MS, numberOf } from "./dates.js";
import { drawn, label } from "./elements.js";
import { KINDS, bar, outline } from "./shapes.js";
import { MEASURES, clockText, counted, number, signed } from "./words.js";

const HOUR_MS = 3_600_000;
const POINTS_MAX = 400;
const PLOT = { left: 52, right: 14, top: 26, between: 44, below: 28 };

export class DayChart {
  #cursor;
  #spot = null;
  #marks = [];

  constructor(frame, help) {
    this.#cursor = new Cursor(frame, { label: "Through the day", help, onMove: (index) => this.#highlight(index) });
  }

  /** Draws {deltas, hours} of a date; `coloringOf` gives the colours of its devices. */
  show({ date, deltas, hours }, { measure, coloringOf, width }) {
    const plan = planOf({ date, deltas, hours }, measure, width);
    this.#marks = [...deltaMarks(plan), ...hourMarks(plan)].sort((a, b) => a.x - b.x);
    this.#spot = drawn("circle", { class: "spot", r: 8, visibility: "hidden" });
    const height = plan.height;
    const drawing = drawn("svg", { width, height, "aria-hidden": "true" },
      hourAxis(plan.times, plan.x, { top: PLOT.top, bottom: height - PLOT.below, right: width }),
      ...soFar(plan, coloringOf), ...hourly(plan, coloringOf), this.#spot);
    this.#cursor.set(drawing, this.#marks, this.#cursor.at);
  }

  #highlight(index) {
    const mark = this.#marks[index];
    if (!this.#spot) return;
    this.#spot.setAttribute("visibility", mark ? "visible" : "hidden");
    if (!mark) return;
    this.#spot.setAttribute("cx", mark.x);
    this.#spot.setAttribute("cy", mark.y);
  }
}

/** Values, times and scales: what both drawings and the marks are made from. */
function planOf({ date, deltas, hours }, measure, width) {
  const words = MEASURES[measure];
  const chains = chainsOf(deltas, words);
  const sums = hourSums(hours, words);
  const lower = hours.length ? 120 : 0;
  const upper = 190;
  const height = PLOT.top + upper + (lower && PLOT.between + lower) + PLOT.below;
  const times = timesOf(date, deltas, hours);
  const most = (lines) => Math.max(1, ...lines.flatMap((line) => line.map((point) => point.value)));
  const ticks = ticksTo(most([...chains.values(), ...sums.values()]), 4);
  const hourTicks = ticksTo(Math.max(1, ...hours.map((hour) => hour[words.field] ?? 0)), 2);
  return {
    words, chains, sums, hours, times, width, height, ticks, hourTicks,
    x: scale(times, [PLOT.left, width - PLOT.right]),
    y: scale([0, ticks.at(-1)], [PLOT.top + upper, PLOT.top]),
    hourY: scale([0, hourTicks.at(-1)], [height - PLOT.below, height - PLOT.below - lower]),
  };
}

/** The date in UTC, and as much more as its records need: its own midnight may be elsewhere. */
function timesOf(date, deltas, hours) {
  const start = numberOf(date) * DAY_MS;
  const seen = [...deltas.map((delta) => Date.parse(delta.timestamp)), ...hours.map((hour) => Date.parse(hour.hour))];
  const first = seen.reduce((least, at) => Math.min(least, at), start);
  const last = seen.reduce((most, at) => Math.max(most, at + 1), start + DAY_MS);
  return [Math.floor(first / HOUR_MS) * HOUR_MS, Math.ceil(last / HOUR_MS) * HOUR_MS];
}

/** By device: the snapshots in time order, with the sum of deltas up to each. */
function chainsOf(deltas, words) {
  const chains = new Map();
  for (const delta of [...deltas].sort((a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp))) {
    const chain = chains.get(delta.device_id) ?? [];
    chain.push({ delta, at: Date.parse(delta.timestamp), value: (chain.at(-1)?.value ?? 0) + delta[words.delta] });
    chains.set(delta.device_id, chain);
  }
  return chains;
}

/** By device: the sum of the hours up to the end of each. */
function hourSums(hours, words) {
  const sums = new Map();
  for (const hour of [...hours].sort((a, b) => Date.parse(a.hour) - Date.parse(b.hour))) {
    const start = Date.parse(hour.hour);
    const line = sums.get(hour.device_id) ?? [{ at: start, value: 0 }];
    line.push({ at: start + HOUR_MS, value: line.at(-1).value + (hour[words.field] ?? 0) });
    sums.set(hour.device_id, line);
  }
  return sums;
}

function soFar({ words, chains, sums, ticks, width, x, y }, coloringOf) {
  const stepped = (line) => line.map(({ at, value }, place) => (place ? `H${x(at)}V${y(value)}` : `M${x(at)} ${y(value)}`)).join("");
  const straight = (line) => line.map(({ at, value }, place) => `${place ? "L" : "M"}${x(at)} ${y(value)}`).join("");
  return [
    label(PLOT.left, 14, `${words.name} so far`, { class: "title" }),
    valueAxis(ticks, y, { left: PLOT.left, right: width - PLOT.right }),
    ...[...sums].map(([id, line]) => drawn("path", { class: `curve dashed c${coloringOf(id).color}`, d: straight(line) })),
    ...[...chains].map(([id, line]) => drawn("path", { class: `curve c${coloringOf(id).color}`, d: stepped(line) })),
    ...[...chains].flatMap(([id, line]) => kindPaths(thinned(line), { x, y, color: coloringOf(id).color })),
  ];
}

/** One path for each kind: its shapes at the points of the chain. */
function kindPaths(points, { x, y, color }) {
  return Object.entries(KINDS).map(([kind, { shape }]) => {
    const own = points.filter(({ delta }) => delta.kind === kind);
    const r = kind === "increment" ? 4 : 5.5;
    return own.length > 0 && drawn("path", {
      class: `kind ${kind === "reset" ? "mark-reset" : `c${color}`}`, "data-kind": kind,
      d: own.map(({ at, value }) => outline(shape, x(at), y(value), r)).join(""),
    });
  });
}

function hourly(plan, coloringOf) {
  const { words, hours, hourTicks, width, height, hourY } = plan;
  if (!hours.length) return [];
  const { devices, part, startOf } = slotsOf(plan);
  const paths = devices.map((id) => {
    const bars = hours.filter((hour) => hour.device_id === id).map((hour) =>
      bar(startOf(hour), hourY(hour[words.field] ?? 0), part * 0.92, height - PLOT.below));
    return drawn("path", { class: `device c${coloringOf(id).color}`, d: bars.join("") });
  });
  return [
    label(PLOT.left, hourY(hourTicks.at(-1)) - 12, `${words.name} in each hour, from events`, { class: "title" }),
    valueAxis(hourTicks, hourY, { left: PLOT.left, right: width - PLOT.right }),
    ...paths,
  ];
}

/** Where the bars of each device stand, side by side in their hour. */
function slotsOf({ hours, x }) {
  const devices = [...new Set(hours.map((hour) => hour.device_id))];
  const room = x(HOUR_MS) - x(0);
  const part = (room * 0.8) / devices.length;
  const startOf = (hour) => x(Date.parse(hour.hour)) + room * 0.1 + part * devices.indexOf(hour.device_id);
  return { devices, part, startOf };
}

/** At most so many points; what is more than counted on is kept first. */
function thinned(line) {
  if (line.length <= POINTS_MAX) return line;
  const special = line.filter(({ delta }) => delta.kind !== "increment" && delta.kind !== "duplicate");
  const others = line.filter(({ delta }) => delta.kind === "increment" || delta.kind === "duplicate");
  const every = (points, max) => points.filter((_, place) => place % Math.ceil(points.length / max) === 0);
  return [...every(special, POINTS_MAX / 2), ...every(others, POINTS_MAX / 2)];
}

function deltaMarks({ words, chains, x, y }) {
  return [...chains].flatMap(([id, line]) => line.map(({ delta, at, value }) => ({
    x: x(at), y: y(value),
    words: [
      `${clockText(at)} UTC, ${id}`, `${delta.kind}: ${KINDS[delta.kind]?.text ?? "snapshot"}`,
      `${signed(delta[words.delta])} ${words.unit}`, `${number(value)} so far`, `the device says ${number(delta[words.total])}`,
    ],
  })));
}

function hourMarks(plan) {
  const { words, hours, hourY } = plan;
  const { part, startOf } = slotsOf(plan);
  return hours.map((hour) => {
    const start = Date.parse(hour.hour);
    return {
      x: startOf(hour) + part / 2, y: hourY(hour[words.field] ?? 0),
      words: [
        `${clockText(start)} to ${clockText(start + HOUR_MS)} UTC, ${hour.device_id}`, `${number(hour[words.field])} ${words.unit}`,
        `heart rate ${number(hour.hr_avg)}`, counted(hour.events, "event"),
      ],
    };
  });
}
