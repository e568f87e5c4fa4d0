/** One day: what its total is made of, its charts, its snapshots and hours as tables. */

import { DayChart } from "./day_chart.js";
import { numberOf } from "./dates.js";
import { coloring, isLate } from "./days.js";
import { element, fill, fillTable } from "./elements.js";
import { KINDS, glyph, key } from "./shapes.js";
import { clockText, counted, instantText, number, signed, weekdayText } from "./words.js";

const ROWS_STEP = 200;

export class Day {
  #root;
  #api;
  #hooks;
  #asking = null;
  #shown = null;
  #drawnWidth = 0;
  #chart;
  #parts;

  /** `onStep(day number)`, `onClose()`; `beside(date)`: the days before and after; `devices()`. */
  constructor(root, api, hooks) {
    this.#root = root;
    this.#api = api;
    this.#hooks = hooks;
    this.#parts = build(root);
    this.#chart = new DayChart(this.#parts.chart, "day-help");
    new ResizeObserver(() => { if (this.#shown?.answer && this.#parts.chart.clientWidth !== this.#drawnWidth) this.#drawChart(); }).observe(this.#parts.chart);
  }

  hide() {
    this.#asking?.abort();
    this.#shown = null;
    this.#root.hidden = true;
  }

  /** Shows a day of a user; what is there stays until the answer is. */
  async show(user, date, measure) {
    const isSame = this.#shown?.user === user && this.#shown.date === date;
    this.#shown = { user, date, measure, answer: isSame ? this.#shown.answer : null, rowsMax: isSame ? this.#shown.rowsMax : ROWS_STEP };
    this.#root.hidden = false;
    this.#head();
    if (!isSame) this.#clearBody("Loading the day …");
    if (!isSame) bringIntoView(this.#parts.title);
    this.#asking?.abort();
    this.#asking = new AbortController();
    try {
      this.#shown.answer = await this.#api.day(user, date, this.#asking.signal);
      this.#draw();
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.#clearBody(problem.status === 404 ? "There is nothing of this day." : `${problem.message}. ${problem.advice}`);
    }
  }

  #head() {
    const { title, buttons } = this.#parts;
    title.textContent = weekdayText(numberOf(this.#shown.date));
    const { before, after } = this.#hooks.beside(this.#shown.date);
    const step = (text, day) => element("button", { type: "button", disabled: day === null, onclick: () => this.#hooks.onStep(day) }, text);
    const held = [...buttons.children].indexOf(document.activeElement);
    fill(buttons, step("← Before", before), step("After →", after),
      element("button", { type: "button", onclick: this.#hooks.onClose }, "Close"));
    if (held !== -1) (buttons.children[held].disabled ? buttons.children[2] : buttons.children[held]).focus();
  }

  #clearBody(text) {
    this.#parts.state.textContent = text;
    this.#parts.body.hidden = true;
  }

  #draw() {
    const { total, deltas, hours } = this.#shown.answer;
    this.#parts.state.textContent = "";
    this.#parts.body.hidden = false;
    fillFacts(this.#parts.facts, total);
    this.#drawChart();
    fillLegend(this.#parts.legend, { deltas, hours }, coloringOfDay(this.#shown.answer, this.#hooks.devices()));
    fillDevices(this.#parts.devices, total);
    this.#drawDeltas();
    fillHours(this.#parts.hours, hours);
  }

  #drawDeltas() {
    const { answer: { deltas }, rowsMax } = this.#shown;
    fillDeltas(this.#parts.deltas, deltas.slice(0, rowsMax));
    const left = deltas.length - rowsMax;
    const show = () => {
      this.#shown.rowsMax += ROWS_STEP;
      this.#drawDeltas();
    };
    if (left <= 0) fill(this.#parts.more);
    else if (!this.#parts.more.contains(document.activeElement)) fill(this.#parts.more, element("button", { type: "button", onclick: show }, "Show more"));
  }

  #drawChart() {
    const { date, measure, answer } = this.#shown;
    const width = Math.max(260, this.#parts.chart.clientWidth);
    this.#drawnWidth = this.#parts.chart.clientWidth;
    const coloringOf = coloringOfDay(answer, this.#hooks.devices());
    this.#parts.chart.hidden = !answer.deltas.length && !answer.hours.length;
    this.#chart.show({ date, deltas: answer.deltas, hours: answer.hours }, { measure, coloringOf, width });
  }
}

/** Scrolls only if the day opened below what is seen. */
function bringIntoView(title) {
  if (title.getBoundingClientRect().top < innerHeight - 160) return;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  title.scrollIntoView({ block: "center", behavior: isCalm ? "instant" : "smooth" });
}

function build(root) {
  const part = (name, attributes) => element(name, attributes);
  const parts = {
    title: part("h2", { id: "day-title", tabindex: -1 }),
    buttons: part("div", { class: "buttons" }),
    state: part("p", { role: "status" }),
    body: part("div", {}),
    facts: part("dl", { class: "tiles" }),
    legend: part("div", { class: "legend" }),
    chart: part("div", { class: "chart" }),
    devices: part("table", {}),
    deltas: part("table", {}),
    more: part("div", { class: "buttons" }),
    hours: part("table", {}),
  };
  const scroll = (name, table) => element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table);
  fill(parts.body, parts.facts, parts.legend, parts.chart,
    element("p", { class: "hint", id: "day-help" }, "Arrow keys go from point to point. Solid lines are sums of snapshots, dashed ones of events."),
    element("h3", {}, "Devices"), scroll("Table of devices", parts.devices),
    element("h3", {}, "Snapshots"), scroll("Table of snapshots", parts.deltas), parts.more,
    element("details", {}, element("summary", {}, "Show the hours as a table"), scroll("Table of hours", parts.hours)));
  fill(root, element("div", { class: "head" }, parts.title, parts.buttons), parts.state, parts.body);
  return parts;
}

/** The colours that the devices have among the days; new ones come last. */
function coloringOfDay({ deltas, hours }, devices) {
  return coloring([...new Set([...devices, ...[...deltas, ...hours].map((row) => row.device_id)])]);
}

function fillFacts(root, total) {
  const fact = (name, value, note) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value, note && element("small", {}, note)));
  fill(root, fact("Steps", number(total.steps)), fact("Calories", number(total.calories_out), "kcal"),
    fact("Heart rate", number(total.hr_avg), total.hr_avg === null ? null : "average"),
    fact("Basis", total.basis, `${counted(total.snapshots_count, "snapshot")}, ${counted(total.events_count, "event")}`),
    fact("Resets", number(total.resets)),
    fact("Revision", number(total.revision), `${instantText(total.updated_at)} UTC${isLate(total) ? ", late" : ""}`));
}

function fillLegend(root, { deltas, hours }, coloringOf) {
  const colors = new Map([...deltas, ...hours].map(({ device_id: id }) => [coloringOf(id).color, coloringOf(id).name]));
  const kinds = Object.entries(KINDS).map(([kind, { shape, text }]) => [kind, shape, text, deltas.filter((delta) => delta.kind === kind).length]);
  fill(root, ...[...colors].map(([color, name]) => key("square", `c${color}`, name)),
    ...kinds.filter(([, , , count]) => count).map(([kind, shape, text, count]) =>
      key(shape, kind === "reset" ? "mark-reset" : "mark-basis", `${count} ${kind} (${text})`)));
}

function fillDevices(table, total) {
  fillTable(table, {
    caption: "What each device counted; the day is made of them",
    heads: ["Device", "Steps", "kcal", "From"],
    rows: Object.entries(total.devices).map(([id, part]) => [id, number(part.steps), number(part.calories_out), part.basis]),
    numeric: [1, 2],
  });
}

function fillDeltas(table, deltas) {
  const rows = deltas.map((delta) => [
    instantText(delta.timestamp), delta.device_id,
    element("span", { class: "entry" }, glyph(KINDS[delta.kind]?.shape ?? "circle", delta.kind === "reset" ? "mark-reset" : "mark-basis"), delta.kind),
    signed(delta.steps_delta), signed(delta.calories_out_delta), number(delta.steps_total), number(delta.calories_out_total),
  ]);
  fillTable(table, {
    caption: deltas.length ? "What each snapshot added" : "There are no snapshots of this day",
    heads: ["Time (UTC)", "Device", "Kind", "Steps added", "kcal added", "Steps it said", "kcal it said"],
    rows,
    numeric: [3, 4, 5, 6],
  });
}

function fillHours(table, hours) {
  fillTable(table, {
    caption: hours.length ? "Events of each hour" : "There are no events of this day",
    heads: ["Hour (UTC)", "Device", "Steps", "kcal", "Heart rate", "Events"],
    rows: hours.map((hour) => [`${instantText(hour.hour)} – ${clockText(Date.parse(hour.hour) + 3_600_000)}`, hour.device_id,
      number(hour.steps), number(hour.calories_out), number(hour.hr_avg), number(hour.events)]),
    numeric: [2, 3, 4, 5],
  });
}
