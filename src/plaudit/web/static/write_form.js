/* Writing an answer from scratch, as a good one would be. */

import { h } from "./dom.js";
import { t } from "./texts.js";

const LONGEST_ANSWER = 200000; // characters, as the server takes them

export class WriteForm {
  constructor(task, onchange) {
    this.area = h("textarea", { id: "answer", maxlength: LONGEST_ANSWER, rows: "10", dir: "auto", "aria-describedby": "readout" });
    this.readout = h("p", { class: "readout empty", id: "readout" });
    this.area.addEventListener("input", () => { this.#show(); onchange(); });
    this.elements = [h("div", { class: "writing field" }, h("label", { for: "answer" }, t("work-your-answer")), this.area)];
    this.instrument = h("div", {}, this.readout);
    this.extra = null;
    this.#show();
  }

  path = "/api/demonstrations";

  get complete() { return Boolean(this.area.value.trim()); }
  get touched() { return this.complete; }
  get missing() { return t("work-write-empty"); }
  get value() { return { text: this.area.value.trim() }; }
  get draft() { return this.value; }

  restore(draft) {
    this.area.value = draft.text ?? "";
    this.#show();
  }

  settle() {}

  key(event) {
    if (event.key.toLowerCase() !== "w") return false;
    this.area.focus();
    return true;
  }

  #show() {
    const count = [...this.area.value.trim()].length;
    this.readout.textContent = count ? t("work-characters", { count }) : t("work-write-empty");
    this.readout.classList.toggle("empty", !count);
  }
}
