/* What I did, newest first, a page at a time; each judgement or written answer can be changed or taken back. */

import { announce, h } from "./dom.js";
import { get, post } from "./requests.js";
import { t, word } from "./texts.js";

const list = document.getElementById("entries");
const more = document.getElementById("more");
const state = document.getElementById("history-state");
const when = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
let oldest = null;

function row(entry) {
  const time = h("time", { datetime: entry.at, class: "small muted" }, when.format(new Date(entry.at)));
  const kind = h("span", { class: "tag" }, t(`kind-${entry.kind}`));
  const heading = h("div", { class: "what", dir: "auto" }, entry.question);
  const said = h("div", { class: "said small", dir: "auto" }, entry.ranking_text ?? (entry.kind === "skip" ? reason(entry.text) : entry.text) ?? "");
  const item = h("li", {}, heading, said, h("div", { class: "row" }, kind, time, entry.kind === "skip" ? null : acts(entry, () => item)));
  return item;
}

/** `language: more words` as the page's own words for it. */
function reason(text) {
  const [kind, ...more] = text.split(": ");
  return [word("skip-reason", kind), ...more].join(": ");
}

function acts(entry, item) {
  const edit = h("a", { class: "button", href: `/work?edit=${encodeURIComponent(entry.id)}` }, t("history-edit"));
  const take = h("button", { type: "button", class: "quiet" }, t("history-take-back"));
  take.addEventListener("click", () => takeBack(entry, item()));
  return [edit, take];
}

async function takeBack(entry, item) {
  if (!confirm(t("history-take-back-sure"))) return;
  const answer = await post("/api/retractions", { id: entry.id });
  if (answer.status === 200) {
    item.remove();
    announce(t("undo-done"));
    document.getElementById("title").focus();
  } else announce(answer.data.message ?? t("away"));
}

async function load() {
  more.disabled = true;
  const answer = await get(`/api/history${oldest === null ? "" : `?before=${oldest}`}`);
  more.disabled = false;
  if (answer.status !== 200) return show(answer.data.message || t("away"));
  const { entries } = answer.data;
  list.append(...entries.map(row));
  oldest = entries.at(-1)?.seq ?? oldest;
  more.hidden = !answer.data.more;
  return show(list.children.length ? "" : t("history-empty"));
}

function show(sentence) {
  state.textContent = sentence;
  state.hidden = !sentence;
}

more.addEventListener("click", load);
load();
