/* The work page: one task after the other. Fetch, show, keep the draft, submit through the outbox, go on.

   The order of things is: what is submitted is in the browser's storage before anything else happens; the next task is
   asked for when the server has it (before that it would give the same task again). */

import { Clock } from "./clock.js";
import { showConversation } from "./conversation.js";
import { announce, h, isText } from "./dom.js";
import { clearDraft, readDraft, saveDraft } from "./drafts.js";
import { newId, outbox } from "./outbox.js";
import { RankForm } from "./rank_form.js";
import { get, post } from "./requests.js";
import { question, t } from "./texts.js";
import { WriteForm } from "./write_form.js";

const LONGEST_WAIT_SECONDS = 30;
const DRAFT_SECONDS = 0.4;
const at = (id) => document.getElementById(id);
const clock = new Clock();
const supersedes = new URLSearchParams(location.search).get("edit");

let task = null; // what is shown
let form = null;
let previous = null; // the last entry, which undo takes back
let failures = 0;
let retryTimer = null;
let draftTimer = null;
let beatTimer = null;
let submitting = false;
let edited = false; // here, since the task was shown: a window that only looks on keeps and clears no draft of another
let finished = false; // the edit that this page is for has arrived

// --- showing ---------------------------------------------------------------------------------------------------------

function showProgress({ done, skipped, left }) {
  const bar = at("progress");
  bar.max = Math.max(done + left, 1);
  bar.value = done;
  const atLeast = left < 10 ? left : `${left}+`; // the server rounds down what is many
  at("progress-text").textContent = t(skipped ? "work-progress-skipped" : "work-progress", { done, left: atLeast, skipped });
}

function showTask(next) {
  task = next;
  form = new (task.kind === "write" ? WriteForm : RankForm)(task, onChange);
  showConversation(at("conversation"), task.conversation);
  at("asked").textContent = task.kind === "write" ? t("work-write-asked") : question(task.question);
  at("form").replaceChildren(...form.elements);
  at("instrument").replaceChildren(form.instrument);
  at("extra").replaceChildren(...[form.extra].filter(Boolean));
  const local = readDraft(task.assignment);
  if (local ?? task.draft) form.restore(local?.value ?? task.draft);
  clock.restart(local?.seconds ?? task.draft?.seconds ?? 0);
  only("task");
  form.settle();
  edited = false; // restoring is no edit
  showSubmit();
  scrollTo(0, 0);
  at("asked").focus({ preventScroll: true });
  beat();
}

/** Which part of the page is in view: the task, or a state with a sentence about why there is none. */
function only(part, ...content) {
  at("task").hidden = part !== "task";
  at("dock").hidden = part !== "task";
  at("state").hidden = part !== "state";
  document.body.classList.remove("busy");
  if (part === "state") at("state").replaceChildren(...content);
}

/** What undo takes back, or null. An edit has none: it is cancelled. */
function setPrevious(id) {
  previous = supersedes ? null : id;
  at("undo").disabled = !previous;
}

function showState(heading, sentence, ...buttons) {
  leave();
  only("state", h("h2", { tabindex: "-1", id: "state-heading" }, heading), h("p", {}, sentence), h("div", { class: "row" }, buttons));
  at("state-heading").focus();
}

/** Done with the task that was shown: no timer and no dialog may act on it any more. */
function leave() {
  task = form = null;
  at("skip").close();
  at("skip-form").reset();
  clearInterval(beatTimer);
  clearTimeout(draftTimer);
}

const WHYS = {
  guidelines: () => showState(t("why-guidelines"), t("why-guidelines-text"), h("a", { class: "button primary", href: "/guidelines" }, t("nav-guidelines"))),
  "nothing-left": () => showState(t("why-nothing-left"), t("why-nothing-left-text"), h("button", { type: "button", onclick: load }, t("work-look-again")), h("a", { class: "button", href: "/history" }, t("nav-history"))),
  "not-qualified": () => showState(t("why-not-qualified"), t("why-not-qualified-text")),
};

function showSubmit() { at("submit").setAttribute("aria-disabled", String(!form?.complete || submitting)); }

function onChange() {
  edited = true;
  showSubmit();
  clearTimeout(draftTimer);
  draftTimer = setTimeout(keepDraft, DRAFT_SECONDS * 1000);
}

function keepDraft() {
  clearTimeout(draftTimer);
  if (!form || !edited || submitting) return; // what is being submitted is in the outbox
  if (form.touched) saveDraft(task.assignment, form.draft, clock.seconds);
  else clearDraft(task.assignment);
}

// --- fetching --------------------------------------------------------------------------------------------------------

async function load() {
  clearTimeout(retryTimer);
  if (finished) return undefined;
  const answer = await get(supersedes ? `/api/entries/${encodeURIComponent(supersedes)}` : "/api/task");
  if (answer.status === 200) return arrived(answer.data);
  if (answer.status === 401) return location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (answer.status === 404) return showState(t("work-not-there"), answer.data.message ?? "", h("a", { class: "button", href: "/history" }, t("nav-history")));
  return away(answer);
}

function arrived(data) {
  failures = 0;
  if (data.progress) showProgress(data.progress);
  setPrevious(data.previous);
  if (!data.assignment) return (WHYS[data.why] ?? WHYS["nothing-left"])();
  if (outbox.holds(data.assignment)) return away({}); // submitted here, not yet there
  return showTask(data);
}

/** The server is not reached: say so, keep trying, lose nothing. */
function away({ retryAfterSeconds = 0 }) {
  const waiting = outbox.waiting.length;
  showState(t("away"), waiting ? t("away-waiting", { count: waiting }) : t("away-text"), h("button", { type: "button", onclick: again }, t("away-again")));
  const seconds = Math.max(retryAfterSeconds, Math.min(2 ** failures++, LONGEST_WAIT_SECONDS));
  retryTimer = setTimeout(again, seconds * 1000);
}

async function again() {
  clearTimeout(retryTimer);
  await outbox.flush();
  if (!task) await load();
}

// --- doing -----------------------------------------------------------------------------------------------------------

function submit() {
  if (!form || submitting) return undefined;
  if (!form.complete) return announce(form.missing);
  const body = { id: newId(), assignment: task.assignment, ...form.value, seconds: clock.seconds, supersedes };
  return send(form.path, body, t("work-next"));
}

const skip = (reason) => send("/api/skips", { assignment: task.assignment, reason }, t("skip-done"));

/** Says something of the task, and goes on to the next one, which is announced by `sentence`. */
async function send(path, body, sentence) {
  submitting = true;
  showSubmit();
  document.body.classList.add("busy");
  clearTimeout(draftTimer);
  const sending = outbox.add(path, body); // in the browser's storage when this returns
  clearDraft(task.assignment);
  const kept = await sending;
  submitting = false;
  leave();
  await load();
  if (finished) return;
  if (kept?.refused) announce(t("outbox-refused", { count: outbox.refused.length }));
  else announce(task ? sentence : at("state").textContent);
}

/** An entry has arrived: one from here, or one that another window sent. */
function onSent({ detail: { body } }) {
  if (supersedes && body.supersedes === supersedes) {
    finished = true;
    return location.assign("/history");
  }
  setPrevious(body.id ?? null); // a skip has none: it is not taken back
  if (submitting) return undefined;
  if (task?.assignment === body.assignment) leave();
  return task ? undefined : again();
}

/** Ends an edit that came to nothing, and leaves no draft of it behind. */
function cancelEdit() {
  if (task) clearDraft(task.assignment);
  leave();
  location.assign("/history");
}

async function undo() {
  if (!previous || submitting) return undefined;
  keepDraft();
  await outbox.flush();
  if (outbox.waiting.length) { announce(t("undo-waiting")); return say(t("undo-waiting")); }
  if (!previous) return undefined; // it was a skip that arrived just now
  const answer = await post("/api/retractions", { id: previous });
  if (answer.status !== 200) return say(answer.data.message || t("away"));
  setPrevious(null);
  if (answer.data.progress) showProgress(answer.data.progress);
  clearDraft(answer.data.assignment);
  showTask(answer.data);
  return announce(t("undo-done"));
}

/** A sentence above the task that stays until the next one. */
function say(sentence) {
  at("said").replaceChildren(h("div", { class: "notice warn", role: "alert" }, h("p", {}, sentence), h("button", { type: "button", onclick: () => at("said").replaceChildren() }, t("close"))));
}

/** Keeps the lease while somebody is at work; whoever went away gives the task back. */
function beat() {
  clearInterval(beatTimer);
  if (!task.lease_seconds) return;
  const send = () => clock.active && task && post("/api/heartbeats", { assignment: task.assignment });
  beatTimer = setInterval(send, (task.lease_seconds / 3) * 1000);
}

// --- keys and buttons --------------------------------------------------------------------------------------------------

const shortcuts = () => localStorage.getItem("plaudit:shortcuts") !== "off";
const COMMANDS = { "?": () => at("help").showModal(), z: undo, s: openSkip };

function onKey(event) {
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter") return onEnter(event);
  const target = document.activeElement;
  if (event.key === "Escape" && isText(target)) return at("asked").focus({ preventScroll: true });
  if (event.ctrlKey || event.metaKey || event.altKey || isText(target) || !shortcuts()) return;
  const command = event.repeat ? null : COMMANDS[event.key.toLowerCase()];
  if (command) {
    event.preventDefault();
    command();
  } else if (form && !submitting && form.key(event)) {
    event.preventDefault();
  }
}

/** Enter submits, unless it belongs to what has the focus; with Ctrl or ⌘ it submits from everywhere. */
function onEnter(event) {
  const own = document.activeElement.matches("a, button, summary, textarea, select");
  if (event.repeat || (own && !event.ctrlKey && !event.metaKey) || (!own && !shortcuts() && !event.ctrlKey && !event.metaKey)) return;
  event.preventDefault();
  submit();
}

function openSkip() {
  if (form && !submitting && !supersedes) at("skip").showModal();
}

function onSkip(event) {
  event.preventDefault();
  const given = new FormData(event.target);
  const reason = [given.get("reason"), given.get("more")?.trim()].filter(Boolean).join(": ");
  if (!reason) return event.target.querySelector("input").focus();
  at("skip").close();
  return skip(reason);
}

function begin() {
  addEventListener("keydown", onKey);
  addEventListener("pagehide", keepDraft);
  at("submit").addEventListener("click", submit);
  at("undo").addEventListener("click", undo);
  at("open-skip").addEventListener("click", openSkip);
  at("open-help").addEventListener("click", () => at("help").showModal());
  at("skip-form").addEventListener("submit", onSkip);
  for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
  const box = at("shortcuts");
  box.checked = shortcuts();
  box.addEventListener("change", () => localStorage.setItem("plaudit:shortcuts", box.checked ? "on" : "off"));
  outbox.addEventListener("sent", onSent);
  outbox.addEventListener("elsewhere", (event) => {
    if (task && event.detail.body.assignment === task.assignment) { say(t("work-elsewhere")); leave(); load(); }
  });
  at("cancel-edit").addEventListener("click", cancelEdit);
  at("editing").hidden = !supersedes;
  at("open-skip").hidden = Boolean(supersedes); // what is answered is not skipped
  load();
}

begin();
