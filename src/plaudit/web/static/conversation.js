/* The conversation that the answers belong to. A long one starts folded: its last turns are what is answered. */

import { h, makeScrollable, prose } from "./dom.js";
import { t } from "./texts.js";

const SHOWN_TURNS = 4;

export function showConversation(place, turns) {
  const shown = turns.map((turn) => h("div", { class: `turn ${turn.role}` }, h("div", { class: "who" }, t(`role-${turn.role}`)), prose(turn.html)));
  const folded = turns.length > SHOWN_TURNS + 1 ? shown.splice(0, shown.length - SHOWN_TURNS) : [];
  const earlier = folded.length ? h("details", {}, h("summary", {}, t("work-earlier", { count: folded.length })), folded) : null;
  place.replaceChildren(...[earlier, ...shown].filter(Boolean));
  makeScrollable(place);
}
