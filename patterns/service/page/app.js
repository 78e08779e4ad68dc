// The chat: what is asked, what runs, and what goes wrong.

import { element } from "./text.js";
import { TurnView } from "./view.js";
import { Refused, events, request } from "./wire.js";
import { words } from "./words.js";

const API = "/api/support";
const TRIES = 4;  // to come back to an answer after a lost connection
const at = (id) => document.getElementById(id);
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

let say = words(navigator.language.slice(0, 2));
let conversation = "";
let demo = false;
let running = null;  // {view, id, last, stop}

// what a screen reader hears: whole sentences, and no more often than it can say them

let unspoken = "";
let speaking;

function speak(text, now = false) {
  unspoken += text;
  clearTimeout(now ? speaking : undefined);
  if (now) return sayIt();
  speaking ??= setTimeout(sayIt, 1500);
}

function sayIt() {
  speaking = undefined;
  const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => unspoken.lastIndexOf(mark))) + 1;
  const ready = running && end > 0 ? unspoken.slice(0, end) : running ? "" : unspoken;
  unspoken = running ? unspoken.slice(ready.length) : "";
  if (ready.trim()) at("spoken").append(element("p", {}, ready));
  while (at("spoken").childElementCount > 20) at("spoken").firstChild.remove();
  if (unspoken) speaking = setTimeout(sayIt, 1500);
}

// one turn

async function run(view, id, start) {
  const abort = new AbortController();
  running = { view, id, last: 0, stop: () => abort.abort() };
  const mine = running;
  update();
  let open = start;
  try {
    for (let tries = 0; ; tries++) {
      try {
        const response = await open(abort.signal);
        mine.id = response.headers.get("x-request-id") ?? mine.id;
        conversation = response.headers.get("x-conversation") ?? conversation;
        for await (const event of events(response)) {
          mine.last = event.id;
          tries = 0;
          follow();
          if (show(view, event)) return;
        }
      } catch (error) {
        if (abort.signal.aborted || error instanceof Refused || tries >= TRIES || !mine.id) throw error;
      }
      if (tries >= TRIES) throw new TypeError("the stream ended too early");
      await pause(0.3 * 2 ** tries);
      open = (signal) => request("GET", `${API}/${encodeURIComponent(mine.id)}?after=${mine.last}`, undefined, signal);
    }
  } catch (error) {
    if (abort.signal.aborted) view.over(say.stopped);
    else problem(view, error);
  } finally {
    if (running === mine) running = null;
    update();
    sayIt();
    follow();
  }
}

// Shows an event. True: it was the last one.
function show(view, { kind, data }) {
  if (kind === "text_delta") {
    view.more(data.text);
    speak(data.text);
  } else if (kind === "status") {
    if (data.detail) view.note = data.detail;
    view.working(data.idle_seconds ? `${say.working} · ${Math.round(data.idle_seconds)} s` : say[data.phase]);
  } else if (kind === "tool_call") {
    view.working(say.using);
  } else if (kind === "reset") {
    view.reset();
    unspoken = "";
  } else if (kind === "answer") {
    if (!view.words) speak(data.text);
    view.answer(data);
  } else if (kind === "confirmation_required") {
    confirmation(view, data).focus({ preventScroll: true });
  } else if (kind === "failed") {
    problem(view, new Refused(data.status, data.error));
  }
  return ["answer", "confirmation_required", "failed"].includes(kind);
}

function confirmation(view, told) {
  return view.confirmation(told, (approved) => {
    view.goOn();
    at("question").focus();
    run(view, undefined, (signal) => request("POST", `${API}/confirm`, { token: told.token, approved, resumable: true }, signal));
  });
}

function ask(question) {
  if (running || !question.trim()) return;
  dismiss();
  at("empty").hidden = true;
  const view = new TurnView(at("turns"), question, say, demo);
  view.item.dataset.question = question;
  follow(true);
  const body = { text: question, resumable: true, ...(conversation && { conversation }) };
  run(view, undefined, (signal) => request("POST", API, body, signal));
}

function stop() {
  if (!running) return;
  if (running.id) request("DELETE", `${API}/${encodeURIComponent(running.id)}`).catch(() => {});
  running.stop();
}

// what goes wrong

let countdown;

function problem(view, error) {
  const told = error instanceof Refused ? error.error : { message: say.lost, next_step: say.check };
  view?.over(say.failed);
  const lines = [element("strong", {}, told.message), element("span", {}, told.next_step)];
  const question = view?.item.dataset.question;
  const again = element("button", { type: "button" }, say.again);
  const close = element("button", { type: "button", class: "quiet", "aria-label": say.close }, "×");
  close.addEventListener("click", dismiss);
  again.addEventListener("click", () => ask(question));
  clearInterval(countdown);
  let left = told.retry_after ?? 0;
  const tick = () => {
    again.disabled = left > 0;
    again.textContent = left > 0 ? say.againIn(left) : say.again;
    if (left-- <= 0) clearInterval(countdown);
  };
  tick();
  if (left >= 0) countdown = setInterval(tick, 1000);
  const offered = question && ![401, 402, 409, 413, 422].includes(error.status);
  at("problem").replaceChildren(element("p", {}, ...lines), ...(offered ? [again] : []), close);
  at("problem").hidden = false;
}

function dismiss() {
  clearInterval(countdown);
  at("problem").hidden = true;
}

// the page

function follow(always = false) {
  const main = document.querySelector("main");
  if (always || main.scrollHeight - main.scrollTop - main.clientHeight < 160) {
    requestAnimationFrame(() => main.scrollTo({ top: main.scrollHeight }));
  }
}

function update() {
  at("send").hidden = Boolean(running);
  at("stop").hidden = !running;
  at("send").disabled = !at("question").value.trim();
}

function grow() {
  const field = at("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  update();
}

function label() {
  document.documentElement.lang = say === words("de") ? "de" : "en";
  document.title = at("title").textContent = say.title;
  at("new").textContent = say.fresh;
  at("send").textContent = say.send;
  at("stop").textContent = say.stop;
  at("hint").textContent = say.hint;
  document.querySelector("label[for=question]").textContent = at("question").placeholder = say.question;
  const empty = at("empty");
  empty.querySelector("h2").textContent = say.greeting;
  empty.querySelector("p").textContent = say.intro;
  empty.querySelector("ul").replaceChildren(...say.examples.map((example) => {
    const button = element("button", { type: "button", class: "quiet" }, example);
    button.addEventListener("click", () => ask(example));
    return element("li", {}, button);
  }));
}

function restore(turn) {
  const view = new TurnView(at("turns"), turn.question, say, demo);
  view.item.dataset.question = turn.question;
  if (turn.state === "answered") view.answer(turn.shown);
  else if (turn.state === "waiting") confirmation(view, turn.shown);
  else if (turn.state === "running") {
    speak(`${say.resumed} `, true);
    run(view, turn.request_id, (signal) => request("GET", `${API}/${encodeURIComponent(turn.request_id)}?after=0`, undefined, signal));
  } else view.over(turn.state === "stopped" ? say.interrupted : say.failed);
}

async function begin() {
  label();
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return;
    const question = at("question").value;
    at("question").value = "";
    grow();
    ask(question);
  });
  at("question").addEventListener("input", grow);
  at("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("ask").requestSubmit();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && stop());
  at("stop").addEventListener("click", () => (stop(), at("question").focus()));
  at("new").addEventListener("click", () => {
    stop();
    dismiss();
    conversation = "";
    at("turns").replaceChildren();
    at("empty").hidden = false;
    at("question").focus();
  });
  update();
  try {
    const told = await (await request("GET", API)).json();
    say = words(told.language);
    demo = told.demo;
    label();
    conversation = told.conversation;
    at("who").textContent = told.name;
    at("new").hidden = false;
    told.turns.forEach(restore);
    at("empty").hidden = told.turns.length > 0;
    follow(true);
    at("question").focus();
  } catch (error) {
    problem(null, error);
    at("ask").hidden = at("hint").hidden = true;
  }
}

begin();
