/* The answers of a task, each a card: its letter, its text, and what is said about it alone (ratings and flags). */

import { h, letter, makeScrollable, prose } from "./dom.js";
import { t, word } from "./texts.js";

const HIGHEST_RATING = 7;

/** A row of radios that looks like a row of keys. `onpick(value)`; picking the picked one again takes it back. */
export function pick({ name, label, values, caption, onpick, onclear }) {
  const group = h("div", { class: "pick", role: "radiogroup", "aria-label": label });
  for (const value of values) {
    const input = h("input", { type: "radio", name, value, "aria-label": caption(value) });
    let before = false;
    input.addEventListener("pointerdown", () => { before = input.checked; });
    input.addEventListener("click", () => {
      if (before) { input.checked = false; onclear?.(); }
      before = false;
    });
    input.addEventListener("change", () => onpick(value));
    group.append(h("label", {}, input, h("span", { "aria-hidden": "true" }, String(value))));
  }
  return group;
}

const range = (last) => Array.from({ length: last }, (_, i) => i + 1);

export class Answers {
  /** `place`: makes what stands in a card's head beside the letter, or null. */
  constructor(task, { onchange, onselect, place }) {
    this.task = task;
    this.onchange = onchange;
    this.remembered = `plaudit:ratings-open:${task.answers.length > 2 ? "many" : "pair"}`;
    this.ratings = task.answers.map(() => ({}));
    this.flags = task.answers.map(() => new Set());
    this.cards = task.answers.map((answer, i) => this.#card(answer, i, place?.(i), onselect));
    const columns = [2, 4].includes(task.answers.length) ? "2" : "3";
    this.element = h("div", { class: "answers", "data-columns": columns }, this.cards);
  }

  settle() { makeScrollable(this.element); }

  /** A pair is never marked: it would look as if one of the two had been chosen. */
  select(index, focus = true) {
    this.cards.forEach((card, i) => card.classList.toggle("selected", i === index && this.cards.length > 2));
    if (focus) {
      this.cards[index].focus({ preventScroll: true });
      this.cards[index].scrollIntoView({ block: "nearest" });
    }
  }

  /** Opens what is said about one answer alone and goes there. */
  rate(index) {
    const details = this.cards[index].querySelector("details");
    if (!details) return;
    details.open = true;
    details.querySelector("input").focus();
  }

  get value() {
    const keep = (lists, filled) => Object.fromEntries(lists.map((x, i) => [i, x]).filter(([, x]) => filled(x)));
    const flags = this.flags.map((set) => [...set]);
    return { ratings: keep(this.ratings, (r) => Object.keys(r).length), flags: keep(flags, (f) => f.length) };
  }

  restore({ ratings = {}, flags = {} }) {
    for (const [i, given] of Object.entries(ratings)) Object.assign(this.ratings[i], given);
    for (const [i, given] of Object.entries(flags)) given.forEach((flag) => this.flags[i].add(flag));
    this.cards.forEach((card, i) => this.#mark(card, i));
  }

  #mark(card, i) {
    for (const input of card.querySelectorAll("[data-attribute]")) {
      input.checked = this.ratings[i][input.dataset.attribute] === Number(input.value);
    }
    for (const input of card.querySelectorAll("[data-flag]")) input.checked = this.flags[i].has(input.dataset.flag);
    this.#summarise(card, i);
  }

  #card(answer, i, place, onselect) {
    const name = h("h3", { id: `answer-${i}` }, h("span", { class: "letter", "aria-hidden": "true" }, letter(i)), h("span", { class: "sr" }, t("work-answer", { letter: letter(i) })));
    const head = h("header", { class: "head" }, name, place);
    const card = h("article", { class: "answer", tabindex: "-1", "aria-labelledby": `answer-${i}` }, head, prose(answer.html), this.#details(i));
    card.addEventListener("focusin", () => onselect(i));
    return card;
  }

  #details(i) {
    const { attributes, flags } = this.task;
    if (!attributes.length && !flags.length) return null;
    const rows = attributes.map((attribute) => this.#rating(i, attribute));
    rows.at(-1)?.append(h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, t("rating-low")), h("span", {}, t("rating-high"))));
    const inside = h("div", {}, rows, flags.length ? this.#flags(i) : null);
    const open = (localStorage.getItem(this.remembered) ?? String(this.task.answers.length === 2)) === "true";
    const details = h("details", { open }, h("summary", {}, t("rating-title"), h("span", { class: "tag", hidden: true })), inside);
    details.addEventListener("toggle", () => localStorage.setItem(this.remembered, String(details.open)));
    return details;
  }

  #rating(i, attribute) {
    const name = word("attribute", attribute);
    const label = t("rating-of", { attribute: name, letter: letter(i) });
    const set = (value) => {
      if (value === null) delete this.ratings[i][attribute];
      else this.ratings[i][attribute] = value;
      this.#changed(i);
    };
    const row = pick({ name: `rating-${i}-${attribute}`, label, values: range(HIGHEST_RATING), caption: (v) => t("rating-value", { value: v }), onpick: set, onclear: () => set(null) });
    row.querySelectorAll("input").forEach((input) => { input.dataset.attribute = attribute; });
    return h("div", { class: "rating" }, h("span", { class: "name", "aria-hidden": "true" }, name), row);
  }

  #flags(i) {
    const boxes = this.task.flags.map((flag) => {
      const input = h("input", { type: "checkbox", "data-flag": flag });
      input.addEventListener("change", () => {
        if (input.checked) this.flags[i].add(flag);
        else this.flags[i].delete(flag);
        this.#changed(i);
      });
      return h("label", {}, input, h("span", {}, word("flag", flag)));
    });
    return h("div", { class: "flags", role: "group", "aria-label": t("flags-of", { letter: letter(i) }) }, boxes);
  }

  #changed(i) {
    this.#summarise(this.cards[i], i);
    this.onchange();
  }

  /** A closed card still shows that something is said in it. */
  #summarise(card, i) {
    const tag = card.querySelector("summary .tag");
    if (!tag) return;
    const count = Object.keys(this.ratings[i]).length + this.flags[i].size;
    tag.hidden = count === 0;
    tag.textContent = String(count);
  }
}
