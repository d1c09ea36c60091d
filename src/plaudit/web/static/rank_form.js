/* Ranking a task: the answers, the scale (a pair) or the places (more), all bad, a reason, a better answer.
   What it holds is what somebody did; `complete` says whether that is enough to submit. */

import { Answers, pick } from "./answers.js";
import { h, letter } from "./dom.js";
import { Board } from "./drag.js";
import { PairScale, Places } from "./ranking.js";
import { t } from "./texts.js";

const LONGEST_REASON = 20000; // characters, as the server takes them
const LONGEST_ANSWER = 200000;
const inRatings = (element) => element?.closest?.(".rating");

export class RankForm {
  constructor(task, onchange) {
    this.task = task;
    this.onchange = onchange;
    this.count = task.answers.length;
    this.isPair = this.count === 2;
    this.order = this.isPair ? new PairScale(task.ask_strength) : new Places(this.count);
    this.selected = 0;
    const place = this.isPair ? null : (i) => this.#placeKeys(i);
    this.answers = new Answers(task, { onchange: () => this.#changed(), onselect: (i) => this.#select(i, false), place });
    this.allBad = h("input", { type: "checkbox", id: "all-bad", onchange: () => this.#changed() });
    this.words = this.#words();
    this.readout = h("p", { class: "readout", id: "readout", role: "status" });
    this.instrument = h("div", {}, this.isPair ? this.#scale() : this.#chips(), this.readout);
    this.extra = h("label", { class: "toggle" }, this.allBad, h("span", {}, t("work-all-bad"), h("kbd", { "aria-hidden": "true" }, "X")));
    this.elements = [this.answers.element, this.words];
    if (!this.isPair) this.answers.select(0, false);
    this.#show();
  }

  path = "/api/judgements";

  get complete() { return this.order.complete || this.allBad.checked; }
  get touched() { return this.order.touched || this.allBad.checked || this.#hasWords || Object.values(this.answers.value).some((x) => Object.keys(x).length); }
  get missing() { return this.readout.textContent; }
  get #hasWords() { return Boolean(this.reason.value || this.better?.value); }

  /** As the server takes it. All bad with no complete order: nothing was said of which is better, so all are equal. */
  get value() {
    const equal = [this.task.answers.map((_, i) => i)];
    const tiers = this.order.tiers ?? (this.allBad.checked ? equal : null);
    const { guidelines_version } = this.task; // newer ones may be read before this arrives
    const said = { guidelines_version, all_bad: this.allBad.checked, reason: this.reason.value.trim(), better_answer: this.better?.value.trim() ?? "" };
    return { tiers, strength: this.order.strength, ...said, ...this.answers.value };
  }

  get draft() { return { ...this.value, places: this.order.places, tiers: this.order.tiers }; }

  restore(draft) {
    const nothingButBad = draft.all_bad && draft.tiers?.length === 1;
    if (!nothingButBad) this.order.restore(draft);
    this.allBad.checked = Boolean(draft.all_bad);
    this.reason.value = draft.reason ?? "";
    if (this.better) this.better.value = draft.better_answer ?? "";
    this.answers.restore(draft);
    this.#show();
  }

  settle() { this.answers.settle(); }

  /** A single key that was not typed into a text field. True: it was meant for this form. */
  key(event) {
    const key = event.key.toLowerCase();
    const index = "abcdefghi".indexOf(key);
    if (key.length === 1 && index >= 0 && index < this.count) return this.#select(index);
    if (/^[0-9]$/.test(key)) return this.#digit(Number(key));
    if (key === "arrowleft" || key === "arrowright") return this.#arrow(key === "arrowleft" ? -1 : 1);
    if (key === "=" && this.isPair) return this.#setPoint(0);
    if (key === "backspace" || key === "delete") return this.#clear();
    if (key === "x") return this.#toggleAllBad();
    if (key === "r") return this.answers.rate(this.selected) ?? true;
    if (key === "y") return this.reason.focus() ?? true;
    if (key === "w" && this.better) return this.better.focus() ?? true;
    return false;
  }

  #digit(digit) {
    const rating = inRatings(document.activeElement);
    if (rating) return this.#rate(rating.querySelector(`input[value="${digit}"]`));
    if (this.isPair) {
      const point = this.order.points[digit - 1];
      return point === undefined ? false : this.#setPoint(point);
    }
    if (digit < 1 || digit > this.count) return false;
    this.#put(this.selected, digit);
    const next = this.order.next(this.selected);
    if (next !== null) this.#select(next);
    return true;
  }

  /** Focus goes along, so that Tab goes on to the next attribute. */
  #rate(input) {
    input?.click();
    input?.focus();
    return true;
  }

  #arrow(direction) {
    if (document.activeElement.type === "radio") return false; // radios have arrows of their own
    if (!this.isPair) return this.#select((this.selected + direction + this.count) % this.count);
    this.order.step(direction);
    return this.#changed();
  }

  #clear() {
    if (this.isPair) this.order.set(null);
    else this.order.put(this.selected, null);
    return this.#changed();
  }

  #toggleAllBad() {
    this.allBad.checked = !this.allBad.checked;
    return this.#changed();
  }

  #setPoint(point) {
    this.order.set(point);
    return this.#changed();
  }

  #put(answer, place) {
    this.order.put(answer, place);
    return this.#changed();
  }

  #select(index, focus = true) {
    this.selected = index;
    if (focus || !this.isPair) this.answers.select(index, focus);
    this.#show();
    return true;
  }

  #changed() {
    this.#show();
    this.onchange();
    return true;
  }

  #placeKeys(i) {
    const values = Array.from({ length: this.count }, (_, place) => place + 1);
    const label = t("work-place-of", { letter: letter(i) });
    const keys = { name: `place-${i}`, label, values, caption: (v) => t("work-place", { place: v }) };
    return pick({ ...keys, onpick: (v) => this.#put(i, v), onclear: () => this.#put(i, null) });
  }

  #scale() {
    const points = h("div", { class: "points", role: "radiogroup", "aria-label": t("work-scale") });
    for (const [i, point] of this.order.points.entries()) points.append(this.#point(point, i + 1));
    const end = (i) => h("button", { type: "button", class: "letter quiet", "aria-label": t("work-go-to", { letter: letter(i) }), onclick: () => this.#select(i) }, letter(i));
    this.points = points;
    return h("div", { class: `scale${this.task.ask_strength ? "" : " three"}` }, end(0), points, end(1));
  }

  #point(point, key) {
    const sentence = this.#sentence(point);
    const input = h("input", { type: "radio", name: "point", value: point, "aria-label": sentence, onchange: () => this.#setPoint(point) });
    const face = this.task.ask_strength ? (point === 0 ? "=" : "") : sentence;
    const size = this.task.ask_strength ? Math.abs(point) : null;
    return h("label", { title: `${sentence} (${key})`, "data-strength": size }, input, h("span", { "aria-hidden": "true", "data-strength": size }, face));
  }

  #chips() {
    const chip = (_, i) => h("button", { type: "button", "aria-label": t("work-go-to", { letter: letter(i) }), onclick: () => this.#select(i) }, h("b", {}, letter(i)), h("i", {}));
    this.chips = this.task.answers.map(chip);
    const board = new Board(this.count, { letter, standing: () => this.order.byPlace.map((answers) => answers.map(letter)), ondrop: (i, place) => this.#put(i, place) && this.#select(i) });
    for (const [i, card] of this.answers.cards.entries()) [this.chips[i], card.querySelector(".letter")].forEach((handle) => board.grip(handle, i));
    return h("div", { class: "ranker" }, h("div", { class: "chips" }, this.chips), board.element);
  }

  #words() {
    this.reason = this.#textarea("reason", LONGEST_REASON);
    const fields = [this.#field(this.reason, t("work-reason"), "Y")];
    if (this.task.ask_better_answer) {
      this.better = this.#textarea("better", LONGEST_ANSWER);
      fields.push(this.#field(this.better, t("work-better"), "W"));
    }
    return h("div", { class: "words" }, fields);
  }

  #textarea(id, maxlength) { return h("textarea", { id, maxlength, rows: "2", dir: "auto", oninput: () => this.#changed() }); }

  #field(area, label, key) {
    const optional = h("small", {}, t("optional"));
    return h("div", {}, h("label", { for: area.id }, label, optional, h("kbd", { "aria-hidden": "true" }, key)), area);
  }

  #show() {
    if (this.isPair) for (const input of this.points.querySelectorAll("input")) input.checked = Number(input.value) === this.order.point;
    else this.#showPlaces();
    this.readout.textContent = this.#summary();
    this.readout.classList.toggle("empty", !this.complete);
  }

  #showPlaces() {
    for (const [i, place] of this.order.places.entries()) {
      const chip = this.chips[i];
      chip.classList.toggle("placed", place !== null);
      chip.setAttribute("aria-current", String(i === this.selected));
      chip.querySelector("i").textContent = place ?? "–";
      for (const input of this.answers.cards[i].querySelectorAll(`[name="place-${i}"]`)) input.checked = Number(input.value) === place;
    }
  }

  #summary() {
    const bad = this.allBad.checked ? t("work-all-bad-said") : "";
    const order = this.isPair ? this.#pairSummary() : this.#placesSummary();
    return [bad, this.allBad.checked && !this.order.complete ? "" : order].filter(Boolean).join(" ");
  }

  #pairSummary() { return this.order.complete ? this.#sentence(this.order.point) : t("work-pair-empty"); }

  #placesSummary() {
    if (!this.order.touched) return t("work-places-empty");
    const order = this.order.sofar.map((tier) => tier.map(letter).join(" = ")).join(" > ");
    const left = this.order.unplaced.length;
    return left ? `${order} · ${t("work-places-left", { count: left })}` : order;
  }

  #sentence(point) {
    if (point === 0) return t("pair-equal");
    const better = letter(point < 0 ? 0 : 1);
    return t(this.task.ask_strength ? `pair-${Math.abs(point)}` : "pair-better", { letter: better });
  }
}
