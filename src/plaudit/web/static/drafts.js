/* What was half done comes back after a reload, a crash or an undo: the drafts of the last few open assignments. */

import { meta } from "./dom.js";

const KEY = `plaudit:drafts:${meta("account")}`;
const KEPT = 5;

let ended = false; // whoever signs in next must not find what this page, or another tab, would still keep

const all = () => JSON.parse(localStorage.getItem(KEY) ?? "{}");

function change(edit) {
  if (ended) return;
  try {
    const drafts = all();
    edit(drafts);
    const newest = Object.entries(drafts).slice(-KEPT);
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(newest)));
  } catch { /* storage is full or off: then the draft lives in the page alone */ }
}

/** Also begins anew: whoever is shown a task is signed in. */
export function readDraft(assignment) {
  ended = false;
  return all()[assignment] ?? null;
}

/** All of them, for signing out. */
export function clearDrafts() {
  ended = true;
  localStorage.removeItem(KEY);
}

addEventListener("storage", (event) => { if (event.key === KEY && event.newValue === null) ended = true; });

export const clearDraft = (assignment) => change((drafts) => { delete drafts[assignment]; });

export const saveDraft = (assignment, value, seconds) =>
  change((drafts) => {
    delete drafts[assignment];
    drafts[assignment] = { value, seconds };
  });
