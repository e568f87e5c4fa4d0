/** What one chooses the days with: user, dates, span, measure, and the strip below the chart. */

import { scale } from "./axes.js";
import { dateOf, numberOf } from "./dates.js";
import { byId, choose, drawn, element, fillChoice } from "./elements.js";
import { Picker } from "./picker.js";
import { MEASURES, dateText } from "./words.js";

const SPANS = [["30", "30 d"], ["90", "90 d"], ["365", "1 y"], ["all", "All"]];
const OVERVIEW_POINTS = 300;

export class Controls {
  #picker;
  #overview = null;

  constructor(api, hooks) {
    this.#picker = new Picker(byId("user"), byId("users"), { api, onChoose: hooks.onUser, onProblem: hooks.onProblem });
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    for (const id of ["from", "to"]) byId(id).addEventListener("change", () => sendDates(hooks.onDates));
    fillChoice(byId("spans"), "span", SPANS, (value) => hooks.onDaysCount(value === "all" ? null : Number(value)));
    const measures = Object.entries(MEASURES).map(([value, { name }]) => [value, name]);
    fillChoice(byId("measures"), "measure", measures, hooks.onMeasure);
    byId("position").addEventListener("input", (event) => hooks.onPosition(event.target.valueAsNumber));
    byId("zooms").append(
      element("button", { type: "button", "aria-label": "Fewer days", onclick: () => hooks.onZoom(0.5) }, "+"),
      element("button", { type: "button", "aria-label": "More days", onclick: () => hooks.onZoom(2) }, "−"));
    byId("days-help").textContent =
      "Choose a bar to see more. Drag to move. Keys: arrows, Home, End, Page Up, Page Down, + and −, Enter.";
  }

  set({ user, from, to, measure }) {
    if (document.activeElement !== byId("user") || byId("users").hidden) this.#picker.set(user);
    for (const [id, date] of [["from", from], ["to", to]]) {
      if (document.activeElement !== byId(id)) byId(id).value = date ?? "";
    }
    choose(byId("measures"), measure);
  }

  clear() {
    this.#overview = null;
    byId("track").querySelector("svg")?.remove();
    this.set({ user: null, from: null, to: null, measure: "steps" });
  }

  /** The strip: all days as an outline, the span as the thumb of a slider. */
  drawTrack(days, span, measure) {
    const length = span.last - span.first + 1;
    const all = Math.max(length, days.last - days.first + 1);
    const input = byId("position");
    const last = Math.max(days.first, days.last - length + 1);
    Object.assign(input, { min: days.first, max: last, step: 1 });
    input.value = span.first;
    input.disabled = last === days.first;
    input.setAttribute("aria-valuetext", `${dateText(span.first)} to ${dateText(span.last)}`);
    input.style.setProperty("--share", length / all);
    const isLastDays = span.last === days.last;
    choose(byId("spans"), isLastDays && (span.first <= days.first ? "all" : String(length)));
    this.#drawOverview(days, measure);
  }

  /** Drawn anew only if something in it changed. */
  #drawOverview(days, measure) {
    const signature = [days.user, days.size, days.first, days.last, measure].join(" ");
    if (this.#overview === signature) return;
    this.#overview = signature;
    byId("track").querySelector("svg")?.remove();
    byId("track").prepend(overview(days, MEASURES[measure].field));
  }
}

function sendDates(onDates) {
  const [from, to] = ["from", "to"].map((id) => numberOf(byId(id).value));
  if (from !== null && to !== null && dateOf(from) >= "2000-01-01") onDates(from, to);
}

function overview(days, field) {
  const count = days.last - days.first + 1;
  const size = Math.ceil(count / OVERVIEW_POINTS);
  const values = [];
  for (let first = days.first; first <= days.last; first += size) {
    const totals = days.between({ first, last: first + size - 1 });
    values.push(Math.max(0, ...totals.map((total) => total[field] ?? 0)));
  }
  const x = scale([0, values.length], [0, 1000]);
  const y = scale([0, Math.max(1, ...values)], [100, 4]);
  const steps = values.map((value, place) => `L${x(place).toFixed(1)} ${y(value).toFixed(1)}H${x(place + 1).toFixed(1)}`);
  return drawn("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn("path", { class: "overview", d: `M0 100${steps.join("")}L1000 100z` }));
}
