/** The days of the chosen user: loaded once, drawn for a span, kept up to date. */

import { Controls } from "./controls.js";
import { dateOf, holding, moved, numberOf, today, zoomed } from "./dates.js";
import { Days } from "./days.js";
import { DaysChart } from "./days_chart.js";
import { fillDaysTable, fillLegend, fillSummary } from "./days_texts.js";
import { byId, element, fill } from "./elements.js";
import * as place from "./place.js";
import { counted, dateText } from "./words.js";

const SPAN_DAYS = { wide: 90, narrow: 30 };

export class Board {
  #api;
  #hooks;
  #days = null;
  #span = null;
  #shown = place.read();
  #loading = null;
  #isDue = false;
  #reached = null;
  #telling = null;
  #chart;
  #controls;

  /** `onUser(user)` before a user's days are loaded, `onDay(user, date or null)`, `onProblem(problem)`. */
  constructor(api, hooks) {
    this.#api = api;
    this.#hooks = hooks;
    this.#chart = new DaysChart(byId("days-chart"), {
      onOpen: (bar, unit) => (unit === "day" ? this.openDay(bar.first) : this.#show({ first: bar.first, last: Math.max(bar.last, bar.first + 6) })),
      onReach: (day) => this.#reach(day),
      onPan: (by) => this.#pan(by),
      onZoom: (factor, around) => this.#show(zoomed(this.#span, factor, around, this.#days)),
    });
    this.#controls = new Controls(api, {
      onUser: (user) => this.#enter({ ...this.#shown, user, from: null, to: null, day: null }),
      onDates: (from, to) => this.#show({ first: Math.min(from, to), last: Math.max(from, to) }),
      onDaysCount: (count) => this.#show(this.#lastDays(count)),
      onMeasure: (measure) => { this.#shown.measure = measure; place.adjust(this.#shown); this.#redraw(); this.#tellDay(); },
      onPosition: (first) => this.#pan(first - this.#span.first),
      onZoom: (factor) => this.#show(zoomed(this.#span, factor, (this.#span.first + this.#span.last) / 2, this.#days)),
      onProblem: hooks.onProblem,
    });
    byId("days-details").addEventListener("toggle", () => this.#redraw());
  }

  get user() {
    return this.#shown.user;
  }

  get measure() {
    return this.#shown.measure;
  }

  /** Shows what the address says; loads if it is another user. */
  async follow() {
    const before = this.#shown;
    this.#shown = place.read();
    if (this.#shown.user !== before.user || !this.#days) {
      this.#shown.user ??= before.user;
      return this.load();
    }
    this.#takeSpan();
    this.#redraw();
    this.#tellDay();
    return undefined;
  }

  /** Shows a user when the address names none. */
  adopt(user) {
    this.#shown.user ??= user;
    place.adjust(this.#shown);
  }

  /** Loads all days of the user. */
  async load() {
    const { user } = this.#shown;
    this.#loading?.abort();
    this.#loading = new AbortController();
    this.#days = null;
    this.#controls.set(this.#shown);
    this.#hooks.onUser(user);
    this.#say(`Loading the days of ${user} …`);
    const days = new Days(user);
    try {
      for await (const page of this.#api.days(user, this.#loading.signal)) {
        page.forEach((total) => days.put(total));
        if (days.size > page.length) this.#say(`Loading the days of ${user} … ${counted(days.size, "day")} so far`);
      }
    } catch (problem) {
      if (problem.name !== "AbortError") this.#fail(problem);
      return;
    }
    this.#days = days;
    this.#takeSpan();
    this.#redraw();
    this.#tellDay();
  }

  /** Reads the days again without a word: what was missed while nothing was heard. */
  async refresh() {
    const days = this.#days;
    if (!days) return;
    const wasEmpty = !days.size;
    try {
      for await (const page of this.#api.days(days.user, this.#loading?.signal)) page.forEach((total) => days.put(total));
    } catch (problem) {
      if (problem.name !== "AbortError") this.#hooks.onProblem(problem);
      return;
    }
    if (days !== this.#days) return;
    if (wasEmpty) this.#takeSpan();
    this.#redraw();
  }

  /** A total that came by the stream. */
  put(total) {
    if (!this.#days || total.user_id !== this.#days.user) return;
    const last = this.#days.last;
    if (!Object.keys(total.devices).length || !this.#days.put(total)) return;
    const day = numberOf(total.date);
    if (last === undefined) this.#takeSpan();
    else if (day > last && this.#span.last >= last) this.#span = holding(this.#span, day);
    this.#redraw();
    if (total.date === this.#shown.day) this.#tellDaySoon();
  }

  /** The user's devices, in the order of their colours. */
  devices() {
    return this.#days?.devices() ?? [];
  }

  openDay(day) {
    this.#shown.day = day === null ? null : dateOf(day);
    place.enter(this.#shown);
    this.#redraw();
    this.#tellDay();
  }

  /** The day there is before or after a date, or null. */
  beside(date) {
    const day = numberOf(date);
    return { before: this.#days?.before(day) ?? null, after: this.#days?.after(day) ?? null };
  }

  clear() {
    this.#loading?.abort();
    this.#days = null;
    this.#span = null;
    this.#shown = { ...this.#shown, user: null, from: null, to: null, day: null };
    this.#controls.clear();
    for (const id of ["summary", "days-legend", "days-table"]) fill(byId(id));
    byId("days-shown").hidden = true;
  }

  #enter(shown) {
    this.#shown = shown;
    place.enter(shown);
    this.load();
  }

  #tellDay() {
    this.#hooks.onDay(this.#shown.user, this.#shown.day);
  }

  /** Once a second, however often the day changes. */
  #tellDaySoon() {
    this.#telling ??= setTimeout(() => {
      this.#telling = null;
      if (this.#days) this.#tellDay();
    }, 1000);
  }

  #takeSpan() {
    const [from, to] = [numberOf(this.#shown.from), numberOf(this.#shown.to)];
    if (from !== null && to !== null && from <= to) this.#span = { first: from, last: to };
    else {
      const count = innerWidth < 700 ? SPAN_DAYS.narrow : SPAN_DAYS.wide;
      const day = numberOf(this.#shown.day);
      this.#span = this.#lastDays(count);
      if (day !== null) this.#span = holding(this.#span, day);
    }
  }

  #lastDays(count) {
    const last = this.#days?.last ?? today();
    const first = count === null ? (this.#days?.first ?? last) : last - count + 1;
    return { first: Math.min(first, last - 6), last };
  }

  #show(span) {
    this.#span = span;
    [this.#shown.from, this.#shown.to] = [dateOf(span.first), dateOf(span.last)];
    place.adjust(this.#shown);
    this.#redraw();
  }

  #pan(by) {
    if (this.#days?.size) this.#show(moved(this.#span, by, this.#days));
  }

  #reach(day) {
    this.#reached = day;
    this.#show(holding(this.#span, day));
  }

  /** Draws before the next frame, however often it is asked for. */
  #redraw() {
    if (this.#isDue || !this.#days) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      if (this.#days) this.#draw();
    });
  }

  #draw() {
    const [days, span, shown] = [this.#days, this.#span, this.#shown];
    this.#controls.set({ ...shown, from: dateOf(span.first), to: dateOf(span.last) });
    const totals = days.between(span);
    byId("days-shown").hidden = !totals.length;
    if (!days.size) return this.#say(`There are no days of ${shown.user}.`);
    if (!totals.length) return this.#sayWhereDaysAre();
    this.#say("");
    const reached = this.#reached === null ? {} : { reached: this.#reached };
    this.#reached = null;
    this.#chart.show({ days, span, measure: shown.measure, selected: numberOf(shown.day), ...reached });
    fillSummary(totals, shown.measure);
    fillLegend(days, span);
    this.#controls.drawTrack(days, span, shown.measure);
    if (byId("days-details").open) fillDaysTable(days, span, shown);
    return undefined;
  }

  #sayWhereDaysAre() {
    const { first, last } = this.#days;
    const show = () => this.#show(this.#lastDays(null));
    fill(byId("days-state"), `No days from ${dateText(this.#span.first)} to ${dateText(this.#span.last)}. `,
      `There are days from ${dateText(first)} to ${dateText(last)}. `,
      element("button", { type: "button", onclick: show }, "Show all days"));
  }

  #fail(problem) {
    this.#say("");
    byId("days-shown").hidden = true;
    this.#hooks.onProblem(problem, { text: "Try again", run: () => this.load() });
  }

  #say(text) {
    fill(byId("days-state"), text);
    if (text) byId("days-shown").hidden = true;
  }
}
