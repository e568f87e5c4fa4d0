/** The days of one user: the newest revision of each, and the bars made of them. */

import { DAY_MS, numberOf, periodsOf, unitFor } from "./dates.js";

const COLORED_MAX = 5; // devices with a colour of their own; all others share one
export const OTHERS = "other devices";

export class Days {
  #totals = new Map();
  #numbers = [];
  #isSorted = true;

  constructor(user) {
    this.user = user;
  }

  get size() {
    return this.#totals.size;
  }

  get first() {
    return this.#sorted()[0];
  }

  get last() {
    return this.#sorted().at(-1);
  }

  /** Keeps a total unless a newer revision is there; says whether anything changed by it. */
  put(total) {
    const day = numberOf(total.date);
    const known = this.#totals.get(day);
    if (day === null || (known && known.revision >= total.revision)) return false;
    if (!Object.keys(total.devices).length) return this.#remove(day); // its records moved away
    if (!known) {
      this.#isSorted &&= !this.#numbers.length || day > this.#numbers.at(-1);
      this.#numbers.push(day);
    }
    this.#totals.set(day, total);
    return true;
  }

  get(day) {
    return this.#totals.get(day);
  }

  /** The totals of the days first..last, in order. */
  between({ first, last }) {
    const numbers = this.#sorted();
    const start = this.#placeOf(first);
    const totals = [];
    for (let at = start; at < numbers.length && numbers[at] <= last; at += 1) {
      totals.push(this.#totals.get(numbers[at]));
    }
    return totals;
  }

  /** The nearest day there is after (or before) a day, or undefined. */
  after(day) {
    return this.#sorted()[this.#placeOf(day + 1)];
  }

  before(day) {
    return this.#sorted()[this.#placeOf(day) - 1];
  }

  /** The user's devices, those of most days first: this order is that of their colours. */
  devices() {
    const counts = new Map();
    for (const total of this.#totals.values()) {
      for (const id of Object.keys(total.devices)) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  }

  /** At most `barsMax` bars (and two cut ones) for the days first..last. */
  bars(span, barsMax) {
    const unit = unitFor(span.last - span.first + 1, barsMax);
    const bars = periodsOf(span, unit).map((period) => barOf(this.between(period), period));
    return { unit, bars };
  }

  #remove(day) {
    this.#numbers = this.#numbers.filter((number) => number !== day);
    return this.#totals.delete(day);
  }

  #placeOf(day) {
    const numbers = this.#sorted();
    let low = 0;
    for (let high = numbers.length; low < high;) {
      const middle = (low + high) >> 1;
      if (numbers[middle] < day) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #sorted() {
    if (!this.#isSorted) this.#numbers.sort((a, b) => a - b);
    this.#isSorted = true;
    return this.#numbers;
  }
}

/** A day that changed more than a day after it had ended. */
export function isLate(total) {
  return total.revision > 1 && Date.parse(total.updated_at) > (numberOf(total.date) + 2) * DAY_MS;
}

/** The colour of a device, 0 to 5, and the name it is drawn under. */
export function coloring(devices) {
  const places = new Map(devices.map((id, place) => [id, place]));
  const hasOthers = devices.length > COLORED_MAX + 1;
  return (id) => {
    const place = places.get(id) ?? COLORED_MAX;
    if (place < COLORED_MAX) return { color: place, name: id };
    return { color: COLORED_MAX, name: hasOthers ? OTHERS : id };
  };
}

function barOf(totals, period) {
  const sums = { steps: 0, calories_out: 0 };
  const devices = new Map();
  for (const total of totals) {
    sums.steps += total.steps ?? 0;
    sums.calories_out += total.calories_out ?? 0;
    for (const [id, part] of Object.entries(total.devices)) {
      const sum = devices.get(id) ?? { steps: 0, calories_out: 0 };
      sum.steps += part.steps ?? 0;
      sum.calories_out += part.calories_out ?? 0;
      devices.set(id, sum);
    }
  }
  return {
    ...period,
    totals,
    ...averages(sums, totals.length),
    devices: new Map([...devices].map(([id, sum]) => [id, averages(sum, totals.length)])),
    resets: totals.reduce((count, total) => count + total.resets, 0),
    resetDays: totals.filter((total) => total.resets > 0).length,
    late: totals.filter(isLate).length,
    basis: basisOf(totals),
  };
}

function averages(sums, count) {
  return { steps: sums.steps / (count || 1), calories_out: sums.calories_out / (count || 1) };
}

function basisOf(totals) {
  const kinds = new Set(totals.map((total) => total.basis));
  return kinds.size > 1 ? "mixed" : [...kinds][0];
}
