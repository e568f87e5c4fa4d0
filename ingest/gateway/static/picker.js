/** The user picker: type a name or its beginning, or choose from the list, page by page. */

import { element, fill } from "./elements.js";

const PAGE = 50;
const USER = /^[A-Za-z0-9._:@-]{1,128}$/;
const CHARACTERS = "-.0123456789:@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"; // in their order

export class Picker {
  #input;
  #list;
  #api;
  #hooks;
  #users = [];
  #next = null;
  #active = -1;
  #asking = null;
  #chosen = "";

  constructor(input, list, { api, onChoose, onProblem }) {
    this.#input = input;
    this.#list = list;
    this.#api = api;
    this.#hooks = { onChoose, onProblem };
    input.addEventListener("input", () => this.#look(input.value.trim()));
    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => { if (list.hidden) this.#look(""); });
    input.addEventListener("blur", () => this.#leave());
    input.addEventListener("keydown", (event) => { if (this.#press(event.key)) event.preventDefault(); });
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the focus stays
    list.addEventListener("click", (event) => this.#take(event.target.closest("[role=option]")));
  }

  set(user) {
    this.#chosen = user ?? "";
    this.#input.value = this.#chosen;
  }

  /** Users whose name begins so: the list is in order, so it is read from there on. */
  async #look(start) {
    this.#users = [];
    this.#next = null;
    if (!start || USER.test(start)) await this.#read(start, before(start));
    else this.#fill([option("A user has only letters, digits and . _ : @ -", { "aria-disabled": "true" })]);
  }

  async #read(start, after) {
    this.#asking?.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    try {
      const page = await this.#api.users({ after, limit: PAGE, signal });
      const fitting = page.users.filter((user) => user.startsWith(start));
      this.#users.push(...fitting);
      this.#next = fitting.length === page.users.length ? page.next : null;
      if (document.activeElement === this.#input) this.#open(start);
    } catch (problem) {
      if (problem.name !== "AbortError") this.#hooks.onProblem(problem);
    }
  }

  #open(start) {
    const options = this.#users.map((user) => option(user, { "data-user": user }));
    if (start && !this.#users.includes(start)) options.unshift(option(`Show “${start}”`, { "data-user": start }));
    if (this.#next) options.push(option("More users …", { class: "more", "data-more": start }));
    this.#fill(options);
  }

  #fill(options) {
    fill(this.#list, ...options);
    options.forEach((one, index) => { one.id = `user-${index}`; });
    this.#list.hidden = !this.#list.children.length;
    this.#input.setAttribute("aria-expanded", !this.#list.hidden);
    this.#mark(-1);
  }

  #close() {
    this.#asking?.abort();
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", false);
    this.#mark(-1);
  }

  #leave() {
    this.#close();
    this.#input.value = this.#chosen;
  }

  #mark(index) {
    this.#active = index;
    [...this.#list.children].forEach((one, place) => one.setAttribute("aria-selected", place === index));
    const active = this.#list.children[index];
    if (active) this.#input.setAttribute("aria-activedescendant", active.id);
    else this.#input.removeAttribute("aria-activedescendant");
    active?.scrollIntoView({ block: "nearest" });
  }

  #press(key) {
    const count = this.#list.hidden ? 0 : this.#list.children.length;
    if (key === "ArrowDown" && !count) this.#look("");
    else if (key === "ArrowDown") this.#mark((this.#active + 1) % count);
    else if (key === "ArrowUp" && count) this.#mark((Math.max(this.#active, 0) + count - 1) % count);
    else if (key === "Escape" && count) this.#leave();
    else if (key === "Enter") this.#enter();
    else return false;
    return true;
  }

  #enter() {
    const typed = this.#input.value.trim();
    if (this.#active !== -1) this.#take(this.#list.children[this.#active]);
    else if (USER.test(typed)) this.#choose(typed);
  }

  #take(one) {
    if (one?.dataset.user) this.#choose(one.dataset.user);
    else if (one?.classList.contains("more")) this.#read(one.dataset.more, this.#next);
  }

  #choose(user) {
    this.#chosen = user;
    this.#input.value = user;
    this.#close();
    this.#hooks.onChoose(user);
  }
}

function option(text, attributes) {
  return element("li", { role: "option", ...attributes }, text);
}

/** A name to read on behind, so that the first that is read begins so; null for the first of all. */
function before(start) {
  if (start === "") return null;
  const place = CHARACTERS.indexOf(start.at(-1));
  return place === 0 ? before(start.slice(0, -1)) : start.slice(0, -1) + CHARACTERS[place - 1];
}
