/* What every page of a signed-in person has: whether all is saved, what was refused, the theme, a guarded sign-out. */

import { h } from "./dom.js";
import { clearDrafts } from "./drafts.js";
import { outbox } from "./outbox.js";
import { t } from "./texts.js";

function showSaved() {
  const state = document.getElementById("saved");
  if (!state) return;
  const waiting = outbox.waiting.length;
  const refused = outbox.refused.length;
  state.dataset.state = waiting ? "waiting" : refused ? "refused" : "saved";
  const sentence = waiting ? t("outbox-waiting", { count: waiting }) : refused ? t("outbox-refused", { count: refused }) : t("outbox-saved");
  if (state.textContent !== sentence) state.replaceChildren(h("span", {}, sentence));
  state.title = sentence;
}

function notices() {
  const found = outbox.refused.map(refusedNotice);
  if (outbox.waiting.length && outbox.signedOut) found.push(signedOutNotice());
  if (!outbox.durable) found.push(h("div", { class: "notice warn" }, h("p", {}, t("outbox-memory"))));
  return found;
}

function signedOutNotice() {
  const next = encodeURIComponent(location.pathname + location.search);
  return h("div", { class: "notice warn" }, h("p", {}, t("outbox-signed-out")), h("a", { class: "button", href: `/signin?next=${next}` }, t("signin-submit")));
}

function refusedNotice(entry) {
  const text = [entry.body.text, entry.body.better_answer, entry.body.reason].filter(Boolean).join("\n\n");
  const copy = text && h("button", { type: "button", onclick: (event) => copyText(text, event.target) }, t("outbox-copy"));
  const again = h("button", { type: "button", onclick: () => outbox.resend(entry) }, t("outbox-again"));
  const drop = h("button", { type: "button", onclick: () => outbox.drop(entry.id) }, t("outbox-drop"));
  return h("div", { class: "notice warn", role: "alert" }, h("p", {}, t("outbox-refused-one", { sentence: entry.refused })), h("div", { class: "row" }, copy, again, drop));
}

/** The old way: `navigator.clipboard` is there with HTTPS only, and a site in a local network may have none. */
function copyText(text, button) {
  const area = h("textarea", { class: "sr" }, text);
  button.after(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  button.focus();
}

function showNotices() {
  const place = document.getElementById("outbox-notices");
  const found = notices();
  const before = place.textContent;
  if (found.map((notice) => notice.textContent).join("") !== before) place.replaceChildren(...found);
}

function show() {
  showSaved();
  showNotices();
}

/** Signing out leaves nothing to whoever uses the browser next, but what its author wants to be sent: so it asks. */
function guardSignOut() {
  for (const form of document.querySelectorAll("form[data-sign-out]")) {
    form.addEventListener("submit", (event) => {
      if (!mayLeave()) return event.preventDefault();
      clearDrafts();
      return outbox.dropRefused();
    });
  }
}

function mayLeave() {
  const [waiting, refused] = [outbox.waiting.length, outbox.refused.length];
  const asked = [waiting && t("outbox-sign-out", { count: waiting }), refused && t("outbox-sign-out-refused", { count: refused })];
  return !waiting && !refused || confirm([...asked.filter(Boolean), t("outbox-sign-out-sure")].join("\n\n"));
}

function offerThemes() {
  const buttons = [...document.querySelectorAll("[data-theme-choice]")];
  const mark = (choice) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.themeChoice === choice)));
  mark(document.documentElement.dataset.theme ?? "system");
  for (const button of buttons) button.addEventListener("click", () => mark(chooseTheme(button.dataset.themeChoice)));
}

function chooseTheme(choice) {
  if (choice === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("plaudit:theme");
  } else {
    document.documentElement.dataset.theme = choice;
    localStorage.setItem("plaudit:theme", choice);
  }
  return choice;
}

/** Menus close on Escape and on a click elsewhere, as menus do. */
function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    const escaped = event.type === "keydown" && event.key === "Escape";
    if (!escaped && (event.type !== "click" || menu.contains(event.target))) continue;
    menu.open = false;
    if (escaped) menu.querySelector("summary").focus();
  }
}

outbox.addEventListener("change", show);
document.addEventListener("click", closeMenus);
document.addEventListener("keydown", closeMenus);
guardSignOut();
offerThemes();
show();
outbox.flush();
