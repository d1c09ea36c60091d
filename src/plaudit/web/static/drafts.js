/* What was half done comes back after a reload, a crash or an undo: the drafts of the last few open assignments. */

import { meta } from "./dom.js";

const KEY = `plaudit:drafts:${meta("account")}`;
const KEPT = 5;

const all = () => JSON.parse(localStorage.getItem(KEY) ?? "{}");

function change(edit) {
  try {
    const drafts = all();
    edit(drafts);
    const newest = Object.entries(drafts).slice(-KEPT);
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(newest)));
  } catch { /* storage is full or off: then the draft lives in the page alone */ }
}

export const readDraft = (assignment) => all()[assignment] ?? null;

export const clearDraft = (assignment) => change((drafts) => { delete drafts[assignment]; });

export const saveDraft = (assignment, value, seconds) =>
  change((drafts) => {
    delete drafts[assignment];
    drafts[assignment] = { value, seconds };
  });
