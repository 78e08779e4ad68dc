// One turn on the screen: the question, the answer as it grows, what it rests on, what it asks for.

import { element, link, paragraphs } from "./text.js";
import { age } from "./words.js";

let count = 0;

export class TurnView {
  constructor(list, question, say, demo) {
    this.say = say;
    this.demo = demo;
    this.words = "";
    this.note = "";
    this.status = element("p", { class: "status" });
    this.text = element("div", { class: "text" });
    this.below = element("div", { class: "below" });
    const asked = element("div", { class: "asked" }, element("span", { class: "hidden" }, `${say.you}: `), element("p", {}, question));
    this.answered = element("div", { class: "answered", "aria-busy": "true" },
      element("span", { class: "hidden" }, `${say.us}: `), this.status, this.text, this.below);
    this.item = element("li", {}, asked, this.answered);
    list.append(this.item);
    this.working(say.received);
  }

  working(what) {
    if (this.words) return;
    this.status.replaceChildren(element("span", { class: "dots", "aria-hidden": "true" }), what);
    this.status.hidden = false;
  }

  more(text) {
    this.words += text;
    this.status.hidden = true;
    this.#show();
  }

  reset() {
    this.words = "";
    this.text.replaceChildren();
    this.working(this.say.drafting);
  }

  // At most one change a frame, however many words arrive.
  #show() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = undefined;
      this.text.replaceChildren(...paragraphs(this.words));
    });
  }

  #end(text) {
    cancelAnimationFrame(this.pending);
    this.words = text;
    this.status.hidden = true;
    this.answered.removeAttribute("aria-busy");
    this.text.replaceChildren(...paragraphs(text));
  }

  answer(told) {
    this.#end(told.text);
    this.below.replaceChildren(...this.#badges(told), ...this.#sources(told.sources ?? []));
    if (this.demo) {
      const cost = told.cost_usd === null ? "" : ` · $${told.cost_usd.toFixed(4)}`;
      this.below.append(element("p", { class: "made" }, `${told.tier || told.served}${cost} · ${told.trace_id}`));
    }
  }

  #badges(told) {
    const { say } = this;
    const names = [];
    if (told.served !== "live") {
      const old = age(told.note ?? this.note, say);
      names.push([told.served, say[told.served] + (old ? ` · ${old}` : "")]);
    }
    if (!told.confident && !["unavailable", "handoff"].includes(told.served)) names.push(["unsure", say.unsure]);
    if (told.truncated) names.push(["unsure", say.cut]);
    if (!names.length) return [];
    return [element("p", { class: "badges" }, ...names.map(([kind, text]) => element("span", { class: `badge ${kind}` }, text)))];
  }

  #sources(sources) {
    if (!sources.length) return [];
    const buttons = [];
    const panels = [];
    sources.forEach((source, at) => {
      const id = `source-${count++}`;
      const button = element("button", { type: "button", class: "source", "aria-expanded": "false", "aria-controls": id },
        element("span", { class: "number" }, String(at + 1)), source.heading || source.title);
      const panel = this.#panel(id, source);
      button.addEventListener("click", () => {
        const opens = panel.hidden;
        panels.forEach((other) => (other.hidden = true));
        buttons.forEach((other) => other.setAttribute("aria-expanded", "false"));
        panel.hidden = !opens;
        button.setAttribute("aria-expanded", String(opens));
      });
      buttons.push(button);
      panels.push(panel);
    });
    const label = element("span", { class: "label" }, this.say.sources);
    return [element("div", { class: "sources" }, label, ...buttons), ...panels];
  }

  #panel(id, source) {
    const [first, ...rest] = source.text.split("\n");  // the first line repeats the title and the heading
    const where = [`${this.say.updated} ${source.updated}`];
    const open = link(source.url, this.say.open);
    return element("section", { class: "panel", id, hidden: true, "aria-label": source.title },
      element("h3", {}, first), ...paragraphs(rest.join("\n")),
      element("p", { class: "where" }, ...where, ...(open ? [" · ", open] : [])));
  }

  confirmation(told, decide) {
    const { say } = this;
    this.status.hidden = true;
    this.answered.removeAttribute("aria-busy");
    const id = `confirm-${count++}`;
    const yes = element("button", { type: "button" }, say.yes);
    const no = element("button", { type: "button", class: "quiet" }, say.no);
    const card = element("div", { class: "card", role: "group", "aria-labelledby": id, tabindex: "-1" },
      element("p", { class: "label" }, say.confirm), element("p", { id }, told.question), element("div", { class: "choices" }, yes, no));
    for (const [button, approved] of [[yes, true], [no, false]]) {
      button.addEventListener("click", () => {
        yes.disabled = no.disabled = true;
        card.classList.add("decided");
        card.querySelector(".choices").replaceChildren(element("p", { class: "made" }, approved ? say.approved : say.declined));
        decide(approved);
      });
    }
    this.below.replaceChildren(card);
    return card;
  }

  over(text) {
    this.#end(this.words);
    this.below.replaceChildren(element("p", { class: "over" }, text));
  }

  // After a confirmation the answer goes on below its card.
  goOn() {
    this.card = this.below.firstChild;
    this.item.insertBefore(this.card, this.answered);
    this.words = "";
    this.text.replaceChildren();
    this.below.replaceChildren();
    this.answered.setAttribute("aria-busy", "true");
    this.working(this.say.working);
  }
}
