/** Asks for a key, tries it, and says why it was not taken. It is handed on, never stored. */

import { byId } from "./elements.js";

export class KeyForm {
  #input = byId("key-text");
  #problem = byId("key-problem");

  /** `onKey(key)` tries a key, and resolves to what is wrong with it, or null. */
  constructor(onKey) {
    byId("key-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const key = this.#input.value.trim();
      const wrong = /^[\x21-\x7e]+$/.test(key) ? await onKey(key) : "A key has no spaces, and only plain letters, digits and signs.";
      if (wrong === null) this.#input.value = "";
      this.ask(wrong);
    });
  }

  /** Says what was wrong, or null, and waits for a key. */
  ask(wrong) {
    this.#problem.textContent = wrong ?? "";
    if (wrong) this.#input.setAttribute("aria-invalid", "true");
    else this.#input.removeAttribute("aria-invalid");
    if (!byId("key").hidden) this.#input.focus();
  }
}
