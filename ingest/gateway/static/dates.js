/** Civil dates as day numbers (days since 1970-01-01), and the periods that bars stand for. */

export const DAY_MS = 86_400_000;
export const UNITS = ["day", "week", "month", "quarter", "year"];
const DAYS_OF = { day: 1, week: 7, month: 30.4, quarter: 91.3, year: 365.2 };

/** The number of a date `YYYY-MM-DD`, or null if it is none. */
export function numberOf(date) {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(date ?? "")) return null;
  const at = Date.parse(`${date}T00:00:00Z`);
  if (Number.isNaN(at)) return null;
  return dateOf(at / DAY_MS) === date ? at / DAY_MS : null;
}

export function dateOf(number) {
  return new Date(number * DAY_MS).toISOString().slice(0, 10);
}

export function today() {
  return Math.floor(Date.now() / DAY_MS);
}

/** The finest unit of which no more than `barsMax` are needed for so many days. */
export function unitFor(days, barsMax) {
  return UNITS.find((unit) => days / DAYS_OF[unit] <= barsMax) ?? "year";
}

/** The whole periods of a unit that touch the days first..last. */
export function periodsOf({ first, last }, unit) {
  const periods = [];
  for (let start = startOf(first, unit); start <= last;) {
    const next = nextOf(start, unit);
    periods.push({ first: start, last: next - 1 });
    start = next;
  }
  return periods;
}

function startOf(number, unit) {
  if (unit === "day") return number;
  if (unit === "week") return number - ((((number + 3) % 7) + 7) % 7); // day 0 was a Thursday
  const date = new Date(number * DAY_MS);
  const months = { month: 1, quarter: 3, year: 12 }[unit];
  const month = Math.floor(date.getUTCMonth() / months) * months;
  return Date.UTC(date.getUTCFullYear(), month, 1) / DAY_MS;
}

function nextOf(start, unit) {
  if (unit === "day") return start + 1;
  if (unit === "week") return start + 7;
  const date = new Date(start * DAY_MS);
  const months = { month: 1, quarter: 3, year: 12 }[unit];
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1) / DAY_MS;
}
