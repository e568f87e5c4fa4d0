/** Reads a chart mark by mark: hovering it, or with the arrow keys as a slider says its values. */

import { element, fill } from "./elements.js";

/** A frame around a drawing. `marks` are {x, y, words}, from left to right. */
export class Cursor {
  #frame;
  #tip = element("div", { class: "tip", "aria-hidden": "true", hidden: true });
  #marks = [];
  #at = -1;
  #hooks;

  /** `onMove(index or -1)`, `onOpen(index)`; `onKey(event)` may take a key by returning true. */
  constructor(frame, { label, help, onMove, onOpen = () => {}, onKey = () => false }) {
    this.#frame = frame;
    this.#hooks = { onMove, onOpen, onKey };
    const names = { role: "slider", tabindex: 0, "aria-label": label, "aria-describedby": help, "aria-valuemin": 0 };
    for (const [name, value] of Object.entries(names)) frame.setAttribute(name, value);
    frame.addEventListener("pointermove", (event) => this.#hover(event));
    frame.addEventListener("pointerleave", () => { if (document.activeElement !== frame) this.move(-1); });
    frame.addEventListener("blur", () => this.move(-1));
    frame.addEventListener("focus", () => { if (this.#at === -1 && frame.matches(":focus-visible")) this.move(this.#marks.length - 1); });
    frame.addEventListener("click", (event) => { this.#hover(event); this.#open(); });
    frame.addEventListener("keydown", (event) => this.#press(event));
  }

  get at() {
    return this.#at;
  }

  /** Puts the drawing and its marks into the frame; the cursor stands on `at`, or nowhere. */
  set(drawing, marks, at = -1) {
    this.#marks = marks;
    fill(this.#frame, drawing, this.#tip);
    this.#frame.setAttribute("aria-valuemax", Math.max(0, marks.length - 1));
    this.move(Math.min(at, marks.length - 1));
  }

  move(index) {
    const mark = this.#marks[index];
    this.#at = mark ? index : -1;
    const said = mark ?? this.#marks.at(-1);
    this.#frame.setAttribute("aria-valuenow", Math.max(0, mark ? index : this.#marks.length - 1));
    this.#frame.setAttribute("aria-valuetext", said ? said.words.join(", ") : "nothing to show");
    this.#tip.hidden = !mark;
    if (mark) this.#placeTip(mark);
    this.#hooks.onMove(this.#at);
  }

  #placeTip({ x, words: [first, ...others] }) {
    fill(this.#tip, element("strong", {}, first), ...others.map((text) => element("span", {}, text)));
    const room = this.#frame.clientWidth - this.#tip.offsetWidth - 4;
    const beside = x > this.#frame.clientWidth / 2 ? x - this.#tip.offsetWidth - 14 : x + 14;
    this.#tip.style.left = `${Math.max(4, Math.min(beside, room))}px`;
  }

  #hover(event) {
    const x = event.clientX - this.#frame.getBoundingClientRect().left;
    let nearest = -1;
    for (let index = 0; index < this.#marks.length; index += 1) {
      const isNearer = nearest === -1 || Math.abs(this.#marks[index].x - x) < Math.abs(this.#marks[nearest].x - x);
      if (isNearer) nearest = index;
    }
    if (nearest !== this.#at) this.move(nearest);
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#hooks.onKey(event) || this.#step(event.key)) event.preventDefault();
  }

  #step(key) {
    const last = this.#marks.length - 1;
    const at = this.#at === -1 ? last : this.#at;
    if (key === "ArrowLeft" || key === "ArrowDown") this.move(Math.max(0, at - 1));
    else if (key === "ArrowRight" || key === "ArrowUp") this.move(Math.min(last, at + 1));
    else if (key === "Home") this.move(0);
    else if (key === "End") this.move(last);
    else if (key === "Escape") this.move(-1);
    else if (key === "Enter" || key === " ") this.#open();
    else return false;
    return true;
  }

  #open() {
    if (this.#at !== -1) this.#hooks.onOpen(this.#at);
  }
}
