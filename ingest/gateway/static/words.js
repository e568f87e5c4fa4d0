/** How numbers, dates and names are written. */

import { DAY_MS } from "./dates.js";

const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const dates = dateFormat({ day: "numeric", month: "short", year: "numeric" });
const weekdays = dateFormat({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const months = dateFormat({ month: "short", year: "numeric" });
const daysOfYear = dateFormat({ day: "numeric", month: "short" });
const clock = dateFormat({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const MEASURES = {
  steps: { field: "steps", delta: "steps_delta", total: "steps_total", name: "Steps", unit: "steps" },
  calories: { field: "calories_out", delta: "calories_out_delta", total: "calories_out_total", name: "Calories", unit: "kcal" },
};

function dateFormat(fields) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...fields });
}

export function number(value) {
  return value === null || value === undefined ? "–" : exact.format(value);
}

export function rounded(value) {
  return whole.format(value);
}

export function compact(value) {
  return short.format(value);
}

export function signed(value) {
  return value > 0 ? `+${exact.format(value)}` : exact.format(value).replace("-", "−");
}

/** "1 day", "2 days". */
export function counted(count, one, many = `${one}s`) {
  return `${whole.format(count)} ${count === 1 ? one : many}`;
}

export function dateText(day) {
  return dates.format(day * DAY_MS);
}

export function weekdayText(day) {
  return weekdays.format(day * DAY_MS);
}

/** The name of a period: its date, its month, or its first and last date. */
export function periodText({ first, last }, unit) {
  if (unit === "day") return dateText(first);
  if (unit === "month") return months.format(first * DAY_MS);
  if (unit === "year") return String(new Date(first * DAY_MS).getUTCFullYear());
  return `${dateText(first)} – ${dateText(last)}`;
}

/** The same for below an axis. */
export function tickText(first, unit) {
  if (unit === "day" || unit === "week") return daysOfYear.format(first * DAY_MS);
  return unit === "year" ? periodText({ first }, unit) : months.format(first * DAY_MS);
}

/** An instant in UTC, as "13 Nov 2025, 07:30". */
export function instantText(text) {
  const at = Date.parse(text);
  return Number.isNaN(at) ? String(text) : `${dates.format(at)}, ${clock.format(at)}`;
}

export function clockText(at) {
  return clock.format(at);
}

/** The time of an instant in UTC, to the second. */
export function secondText(text) {
  const at = Date.parse(text);
  return Number.isNaN(at) ? String(text) : seconds.format(at);
}

export function durationText(count) {
  if (count < 120) return counted(Math.floor(count), "second");
  if (count < 7200) return counted(Math.floor(count / 60), "minute");
  return count < 172_800 ? counted(Math.floor(count / 3600), "hour") : counted(Math.floor(count / 86_400), "day");
}
