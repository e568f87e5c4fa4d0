/** What the page has to say about itself: one notice for each thing that is wrong. */

import { element, fill } from "./elements.js";

export class Notices {
  #root;
  #shown = new Map();

  constructor(root) {
    this.#root = root;
  }

  /** Says something under a name; the same again is not said twice. */
  say(name, { title, detail = null, advice = null, action = null }) {
    const text = [title, detail, advice, action?.text].join("\n");
    if (this.#shown.get(name)?.text === text) return;
    const body = element("div", {}, element("strong", {}, title),
      detail && element("p", {}, detail), advice && element("p", {}, advice));
    const button = action && element("button", { type: "button", onclick: action.run }, action.text);
    this.#shown.set(name, { text, notice: element("div", { class: "notice", "data-name": name }, body, button) });
    this.#draw();
  }

  /** Says what a problem is and what to do. */
  sayProblem(name, problem, action = null) {
    const right = problem.status === 403 && !problem.detail ? "The key lacks the right read, or may not see this user." : null;
    this.say(name, { title: problem.message, detail: problem.detail ?? right, advice: problem.advice, action });
  }

  clear(name) {
    if (this.#shown.delete(name)) this.#draw();
  }

  clearAll() {
    this.#shown.clear();
    this.#draw();
  }

  #draw() {
    fill(this.#root, ...[...this.#shown.values()].map(({ notice }) => notice));
  }
}
