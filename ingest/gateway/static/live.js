/** What the service does now: verdicts and reasons of the last batches, speed, what waits. */

import { element, fill, fillTable } from "./elements.js";
import { sparkline } from "./sparkline.js";
import { compact, counted, number, secondText } from "./words.js";

const OUTCOMES_MAX = 200;
const DRAW_MS = 500;
const SAY_MS = 15_000;
const SECONDS = 60;
/** Each verdict: its name in an outcome, and in the status. */
const VERDICTS = [["accepted", "accepted"], ["duplicates", "duplicate"], ["corrected", "corrected"], ["stale", "stale"], ["rejected", "rejected"]];

export class Live {
  #outcomes = [];
  #status = null;
  #rates = new Map(); // records by second
  #unsaid = { records: 0, rejected: 0 };
  #isPaused = false;
  #isStale = true;
  #parts;

  constructor(root) {
    this.#parts = build(root, () => this.#pause());
    setInterval(() => this.#draw(), DRAW_MS);
    setInterval(() => this.#sayOutcomes(), SAY_MS);
    this.connection({ name: "connecting" });
  }

  /** An event `outcome` of the stream: one batch. */
  outcome(outcome) {
    this.#outcomes.unshift(outcome);
    this.#outcomes.length = Math.min(this.#outcomes.length, OUTCOMES_MAX);
    this.#count(outcome.records);
    this.#unsaid.records += outcome.records;
    this.#unsaid.rejected += outcome.rejected;
    this.#isStale = true;
  }

  /** The answer of /v1/status; through Kafka it is all that tells how fast records come. */
  status(status) {
    const sum = (known) => Object.values(known?.records ?? {}).reduce((total, count) => total + count, 0);
    if (status.mode === "kafka" && this.#status) this.#count(Math.max(0, sum(status) - sum(this.#status)));
    this.#status = status;
    this.#isStale = true;
  }

  connection(state) {
    const texts = {
      connecting: state.failures ? "Reconnecting …" : "Connecting …",
      open: "Connected",
      waiting: `Connection lost. Trying again in ${counted(state.seconds ?? 1, "second")}.`,
      refused: "This key may not follow the stream.",
      stopped: "Not connected",
    };
    this.#parts.connection.textContent = texts[state.name];
    this.#parts.connection.dataset.state = state.name;
  }

  clear() {
    this.#outcomes = [];
    this.#rates.clear();
    this.#status = null;
    this.#unsaid = { records: 0, rejected: 0 };
    this.connection({ name: "stopped" });
    this.#draw(true);
  }

  #count(records) {
    const second = Math.floor(Date.now() / 1000);
    this.#rates.set(second, (this.#rates.get(second) ?? 0) + records);
    for (const old of this.#rates.keys()) {
      if (old > second - SECONDS - 2) break;
      this.#rates.delete(old);
    }
  }

  #pause() {
    this.#isPaused = !this.#isPaused;
    this.#parts.pause.textContent = this.#isPaused ? "Go on" : "Pause";
    this.#isStale = true;
  }

  #draw(isForced = false) {
    if (!isForced && (this.#isPaused || document.hidden)) return;
    this.#drawSpeed();
    if (!this.#isStale && !isForced) return;
    this.#isStale = false;
    this.#parts.lag.textContent = number(this.#status?.waiting);
    this.#drawCounts();
    this.#drawOutcomes();
  }

  #drawSpeed() {
    const now = Math.floor(Date.now() / 1000);
    const rates = Array.from({ length: SECONDS }, (_, place) => this.#rates.get(now - SECONDS + place) ?? 0);
    const lastSeconds = rates.slice(-5).reduce((sum, rate) => sum + rate, 0) / 5;
    this.#parts.speed.textContent = lastSeconds < 10 ? number(Math.round(lastSeconds * 10) / 10) : compact(lastSeconds);
    fill(this.#parts.spark, sparkline(rates));
  }

  #drawCounts() {
    const known = this.#status?.records ?? {};
    const verdicts = VERDICTS.filter(([, name]) => this.#status?.mode !== "kafka" || name in known).map(([field, name]) =>
      [name, number(this.#outcomes.reduce((sum, outcome) => sum + (outcome[field] ?? 0), 0)), number(known[name])]);
    if ("forwarded" in known) verdicts.unshift(["forwarded", "–", number(known.forwarded)]);
    const heads = (name) => [name, `Last ${OUTCOMES_MAX}`, "Since start"];
    fillTable(this.#parts.verdicts, { caption: "Records by verdict", heads: heads("Verdict"), rows: verdicts, numeric: [1, 2] });
    const recent = new Map();
    for (const outcome of this.#outcomes) {
      for (const [reason, count] of Object.entries(outcome.reasons ?? {})) recent.set(reason, (recent.get(reason) ?? 0) + count);
    }
    const all = this.#status?.rejections ?? {};
    const reasons = [...new Set([...Object.keys(all), ...recent.keys()])].sort((a, b) => (all[b] ?? 0) - (all[a] ?? 0));
    const rows = reasons.map((reason) => [reasonCode(reason), number(recent.get(reason) ?? 0), number(all[reason])]);
    this.#parts.reasons.hidden = !rows.length;
    fillTable(this.#parts.reasons, { caption: "Rejected, by reason", heads: heads("Reason"), rows, numeric: [1, 2] });
  }

  #drawOutcomes() {
    const empty = this.#status?.mode === "kafka" ? "Batches are judged by the workers, and are not shown here." : "None yet.";
    const lines = this.#outcomes.map((outcome) => element("li", {},
      element("time", { datetime: outcome.at }, secondText(outcome.at)), element("span", {}, sentenceOf(outcome))));
    fill(this.#parts.outcomes, ...(lines.length ? lines : [element("li", {}, element("span", {}, empty))]));
  }

  /** For those who listen: a summary, now and then. */
  #sayOutcomes() {
    const { records, rejected } = this.#unsaid;
    this.#unsaid = { records: 0, rejected: 0 };
    if (!records || this.#isPaused || document.hidden) return;
    this.#parts.said.textContent = `In the last ${SAY_MS / 1000} seconds: ${counted(records, "record")}, ${number(rejected)} rejected.`;
  }
}

/** A reason that may be broken after its lines below. */
function reasonCode(reason) {
  const words = reason.split(/(?<=_)/);
  return element("code", {}, ...words.flatMap((word, place) => (place ? [element("wbr"), word] : [word])));
}

function sentenceOf(outcome) {
  const verdicts = VERDICTS.filter(([field]) => outcome[field] > 0).map(([field, name]) => `${number(outcome[field])} ${name}`);
  const reasons = Object.entries(outcome.reasons ?? {}).map(([reason, count]) => (count > 1 ? `${count} ${reason}` : reason));
  return `${counted(outcome.records, "record")}: ${verdicts.join(", ") || "nothing"}${reasons.length ? ` (${reasons.join(", ")})` : ""}`;
}

function build(root, onPause) {
  const parts = {
    connection: element("p", { class: "connection", role: "status" }),
    pause: element("button", { type: "button", onclick: onPause }, "Pause"),
    said: element("p", { class: "unseen", "aria-live": "polite" }),
    speed: element("dd", { id: "live-speed" }),
    spark: element("div", { class: "spark" }),
    lag: element("dd", { id: "live-lag" }, "–"),
    verdicts: element("table", { id: "live-verdicts" }),
    reasons: element("table", { id: "live-reasons" }),
    outcomes: element("ol", { id: "live-outcomes" }),
  };
  fill(root,
    element("div", { class: "head" }, element("h2", { id: "live-title" }, "Live"), element("div", { class: "buttons" }, parts.pause)),
    parts.connection, parts.said,
    element("dl", { class: "tiles" },
      element("div", {}, element("dt", {}, "Records a second"), parts.speed),
      element("div", {}, element("dt", {}, "Messages waiting"), parts.lag)),
    parts.spark, parts.verdicts, parts.reasons,
    element("h3", { id: "live-batches" }, `Last ${OUTCOMES_MAX} batches`),
    element("div", { class: "scroll batches", tabindex: 0, role: "region", "aria-labelledby": "live-batches" }, parts.outcomes));
  return parts;
}
