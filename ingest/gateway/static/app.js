/** The page: which of its states it is in, and who tells whom. */

import { Api } from "./api.js";
import { Board } from "./board.js";
import { Day } from "./day.js";
import { byId } from "./elements.js";
import { showFirstVisit } from "./first_visit.js";
import { KeyForm } from "./key_form.js";
import { Live } from "./live.js";
import { Notices } from "./notices.js";
import * as place from "./place.js";
import { Stream } from "./stream.js";
import { followTheme } from "./theme.js";
import { durationText } from "./words.js";

const POLL_MS = 5000;
const STATES = { loading: "loading", key: "key", first: "first", board: "columns" };

const api = new Api();
const notices = new Notices(byId("notices"));
const live = new Live(byId("live"));
const stream = new Stream(api, { onEvent: hear, onState: hearConnection });
const day = new Day(byId("day"), api, {
  beside: (date) => board.beside(date),
  devices: () => board.devices(),
  onStep: (number) => board.openDay(number),
  onClose: () => { board.openDay(null); byId("days-chart").focus(); },
});
const board = new Board(api, { onUser: followUser, onDay: showDay, onProblem: meet });
const keyForm = new KeyForm(tryKey);
let state = "loading";
let isBeginning = false;

/** Asks what there is, and shows it; a key is asked for if it takes one. */
async function begin() {
  if (isBeginning) return;
  isBeginning = true;
  try {
    showStatus(await api.status());
    const { users } = await api.users({ limit: 1 });
    notices.clear("request");
    if (place.read().user === null && !users.length) beFirst();
    else beBoard(users[0] ?? null);
  } catch (problem) {
    meet(problem, { text: "Try again", run: begin });
  } finally {
    isBeginning = false;
  }
}

function enter(name) {
  state = name;
  for (const [one, id] of Object.entries(STATES)) byId(id).hidden = one !== name;
  byId("forget").hidden = !api.hasKey;
}

function beFirst() {
  if (state === "first") return;
  enter("first");
  showFirstVisit({ hasKey: api.hasKey });
  stream.start(null);
}

function beBoard(user) {
  board.adopt(user);
  enter("board");
  board.follow();
}

function followUser(user) {
  notices.clear("request");
  day.hide();
  stream.start(user);
}

function showDay(user, date) {
  if (date === null) day.hide();
  else day.show(user, date, board.measure);
}

/** Anything that went wrong with a request ends here. */
function meet(problem, action = null) {
  if (!("status" in problem)) throw problem;
  if (problem.status === 401) return askForKey(api.hasKey ? "This key is not valid any more." : null);
  notices.sayProblem("request", problem, action);
  return undefined;
}

function askForKey(wrong) {
  leaveAll();
  enter("key");
  keyForm.ask(wrong);
}

async function tryKey(key) {
  api.useKey(key);
  try {
    await api.status();
    await api.users({ limit: 1 });
  } catch (problem) {
    api.forgetKey();
    if (problem.status === 401) return "The service does not know this key. Check it and try again.";
    if (problem.status === 403) return "This key is valid, but lacks the right “read”.";
    return `${problem.message}. ${problem.advice}`;
  }
  enter("loading");
  await begin();
  byId("main").focus();
  return null;
}

function leaveAll() {
  api.forgetKey();
  stream.stop();
  board.clear();
  day.hide();
  live.clear();
  notices.clearAll();
  byId("service").textContent = "";
}

function hear({ name, text }) {
  if (name === "outcome") live.outcome(JSON.parse(text));
  if (name === "total") hearTotal(JSON.parse(text));
}

function hearTotal(total) {
  if (state === "first") beBoard(total.user_id);
  else board.put(total);
}

function hearConnection(connection) {
  live.connection(connection);
  if (connection.name === "refused") meet(connection.problem);
  if (connection.name === "open") board.refresh(); // what came before is not told again
}

async function poll() {
  if (document.hidden || state === "key") return;
  try {
    const status = await api.status();
    if (state === "key") return; // the key was forgotten meanwhile
    showStatus(status);
  } catch (problem) {
    if (state === "key") return;
    byId("service").textContent = "Does not answer";
    byId("service").dataset.ready = "false";
    if (problem.status === 401) meet(problem);
    else notices.say("service", { title: problem.message, detail: problem.detail, advice: "It is asked again every 5 seconds." });
    return;
  }
  if (state === "loading" || state === "first") begin();
}

function showStatus(status) {
  live.status(status);
  byId("service").dataset.ready = status.ready;
  byId("service").textContent = status.ready
    ? `Ready · ${status.mode} · ${status.store === "inmemory" ? "in memory" : status.store} · up ${durationText(status.uptime_seconds)}`
    : "Not ready";
  if (status.ready) notices.clear("service");
  else {
    notices.say("service", {
      title: "The service is not ready", detail: status.reason,
      advice: "What you see may be old. It is asked again every 5 seconds.",
    });
  }
}

byId("forget").addEventListener("click", () => {
  leaveAll();
  place.adjust({});
  enter("loading");
  begin();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // what is behind the # is not a place in the page
  byId("main").focus();
});
place.onChange(() => { if (state === "board") board.follow(); });
followTheme(byId("theme"));
setInterval(poll, POLL_MS);
begin();
