/** The stream of totals and outcomes: server-sent events by fetch, which can carry the key. */

const SILENCE_MS = 40_000; // the service says something every 15 s
const WAIT_MS = { first: 500, max: 15_000 };

/** Calls back with each event, and with what the connection is: connecting, open, waiting, refused. */
export class Stream {
  #api;
  #onEvent;
  #onState;
  #stopping = null;

  constructor(api, { onEvent, onState }) {
    this.#api = api;
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  /** Follows one user, or all if it is null, until `stop` or the next `start`. */
  start(user) {
    this.stop();
    this.#stopping = new AbortController();
    this.#follow(user, this.#stopping.signal);
  }

  stop() {
    this.#stopping?.abort();
    this.#stopping = null;
  }

  async #follow(user, signal) {
    for (let failures = 0; !signal.aborted; failures += 1) {
      this.#tell(signal, { name: "connecting", failures });
      try {
        await this.#read(user, signal, () => { failures = 0; });
      } catch (error) {
        if (signal.aborted) return;
        if (isFinal(error.status)) {
          this.#tell(signal, { name: "refused", problem: error });
          return;
        }
      }
      const wait = waitMs(failures);
      this.#tell(signal, { name: "waiting", seconds: Math.ceil(wait / 1000) });
      await pause(wait, signal);
    }
  }

  async #read(user, signal, onOpen) {
    const silence = new AbortController();
    const either = AbortSignal.any([signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const headers = { Accept: "text/event-stream" };
      const response = await this.#api.open("stream", { query: { user }, headers, signal: either });
      this.#tell(signal, { name: "open" });
      const parse = parser((event) => {
        onOpen(); // only a stream that says something counts as one that works
        if (!signal.aborted) this.#onEvent(event);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        parse(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #tell(signal, state) {
    if (!signal.aborted) this.#onState(state);
  }
}

/** A function that takes text as it comes, and calls back with each whole event. */
export function parser(onEvent) {
  let rest = "";
  let name = "message";
  let lines = [];
  const take = (line) => {
    if (line === "") {
      if (lines.length) onEvent({ name, text: lines.join("\n") });
      name = "message";
      lines = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    if (field === "data") lines.push(value);
  };
  return (text) => {
    const parts = (rest + text).split(/\r\n|\n|\r(?!$)/); // a last \r may be half of a \r\n
    rest = parts.pop();
    parts.forEach(take);
  };
}

/** Whether asking again the same way is of no use. */
function isFinal(status) {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

function waitMs(failures) {
  const longest = Math.min(WAIT_MS.max, WAIT_MS.first * 2 ** failures);
  return longest * (0.5 + Math.random() / 2);
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
