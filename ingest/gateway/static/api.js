/** The requests of the page, with the key that is kept here and nowhere else. */

/** What went wrong, in words for a person: RFC 9457 of the service, or no answer at all. */
export class Problem extends Error {
  constructor(status, { title, detail, code, scope } = {}, retryAfter = null) {
    super(title ?? `The service answered with status ${status}`);
    Object.assign(this, { status, detail, code, scope, retryAfter });
  }

  /** What one can do about it. */
  get advice() {
    if (this.status === 0) return "Check that it runs and that you are connected.";
    if (this.status === 401) return "Enter a key that is valid.";
    if (this.status === 403) return "Use a key that may do this, or ask for the right.";
    if (this.status === 429) return `Wait ${this.retryAfter ?? "a few"} seconds, then try again.`;
    if (this.status === 503) return "Wait a moment, then try again.";
    if (this.status < 500) return "Change what you asked for, then try again.";
    return "Try again. If it stays, the log of the service says more.";
  }
}

const ANSWERS_MAX = 16;

export class Api {
  #key = null;
  #answers = new Map(); // by address, with their ETag: kept here, since no cache shall hold them

  get hasKey() {
    return this.#key !== null;
  }

  useKey(key) {
    this.#key = key;
  }

  forgetKey() {
    this.#key = null;
    this.#answers.clear();
  }

  /** The response to a GET; a Problem is thrown for anything but success or 304. */
  async open(path, { query = {}, headers = {}, signal } = {}) {
    const allowed = this.#key === null ? {} : { Authorization: `Bearer ${this.#key}` };
    let response;
    try {
      response = await fetch(addressOf(path, query), { headers: { ...allowed, ...headers }, signal, credentials: "omit", cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { title: "The service does not answer" });
    }
    if (!response.ok && response.status !== 304) throw await problemOf(response);
    return response;
  }

  /** What a GET answers; what is known and unchanged is not sent again. */
  async get(path, { query, signal } = {}) {
    const address = addressOf(path, query);
    const known = this.#answers.get(address);
    const headers = { Accept: "application/json", ...(known && { "If-None-Match": known.etag }) };
    const response = await this.open(path, { query, headers, signal });
    if (response.status === 304) return known.answer;
    try {
      const answer = await response.json();
      this.#keep(address, { answer, etag: response.headers.get("ETag") });
      return answer;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { title: "The answer of the service broke off" });
    }
  }

  #keep(address, answer) {
    if (answer.etag === null) return;
    this.#answers.delete(address);
    this.#answers.set(address, answer);
    if (this.#answers.size > ANSWERS_MAX) this.#answers.delete(this.#answers.keys().next().value);
  }

  status(signal) {
    return this.get("status", { signal });
  }

  users({ after = null, limit = 50, signal } = {}) {
    return this.get("users", { query: { after, limit }, signal });
  }

  day(user, date, signal) {
    return this.get(`users/${encodeURIComponent(user)}/days/${date}`, { signal });
  }

  /** All days of a user, page by page. */
  async *days(user, signal) {
    let cursor = null;
    do {
      const path = `users/${encodeURIComponent(user)}/days`;
      const page = await this.get(path, { query: { cursor, limit: 2500 }, signal });
      yield page.days;
      cursor = page.next;
    } while (cursor !== null && cursor !== undefined);
  }
}

function addressOf(path, query = {}) {
  const address = new URL(`v1/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) address.searchParams.set(name, value);
  }
  return address.href;
}

async function problemOf(response) {
  const retryAfter = response.headers.get("Retry-After");
  try {
    return new Problem(response.status, await response.json(), retryAfter);
  } catch {
    return new Problem(response.status, {}, retryAfter);
  }
}
