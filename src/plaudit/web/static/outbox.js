/* Everything that is submitted goes through here: stored in the browser first, then sent, until the server has it.

   Each entry has a storage key of its own, so two tabs never overwrite each other's; the server knows entries by their
   UUID, and a skip by its task, so sending twice is storing once. The lock only spares the second request. Nothing
   leaves the box but by the server's word: 200 takes an entry out; a refusal that stays what it is sets it aside, where
   its author sees it and decides. */

import { meta } from "./dom.js";
import { post } from "./requests.js";

const PREFIX = `plaudit:outbox:${meta("account")}:`;
const FIRST_WAIT_SECONDS = 1;
const LONGEST_WAIT_SECONDS = 60;
const REFUSED = new Set([404, 409, 413, 422]);

/** A random UUID. `crypto.randomUUID` is there with HTTPS only, and a site in a local network may have none. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40; // version 4
  bytes[8] = (bytes[8] & 0x3f) | 0x80; // variant of RFC 9562
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

class Outbox extends EventTarget {
  #memory = new Map(); // where the browser keeps nothing: as long as the page is open
  #failures = 0;
  #timer = null;
  #running = null;
  signedOut = false;

  constructor() {
    super();
    addEventListener("online", () => this.flush());
    addEventListener("pageshow", () => this.flush());
    document.addEventListener("visibilitychange", () => document.hidden || this.flush());
    addEventListener("storage", (event) => event.key?.startsWith(PREFIX) && this.#elsewhere(event));
  }

  /** Oldest first. */
  get entries() {
    const found = [...this.#memory.values()];
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    found.push(...keys.map((key) => JSON.parse(localStorage.getItem(key)))); // null: another tab took it out meanwhile
    return found.filter(Boolean).sort((a, b) => a.at - b.at);
  }

  get waiting() { return this.entries.filter((entry) => !entry.refused); }
  get refused() { return this.entries.filter((entry) => entry.refused); }
  get durable() { return this.#memory.size === 0; }

  holds(assignment) { return this.waiting.some((entry) => entry.body.assignment === assignment); }

  /** Keeps a new entry and tries to send all: see `#put`. */
  add(path, body) { return this.#put({ id: body.id ?? newId(), path, body, at: Date.now(), refused: null }); }

  /** Tries again to send what was refused. */
  resend(entry) { return this.#put({ ...entry, refused: null }); }

  /** Takes an entry out that its author does not want sent (any more). */
  drop(id) {
    this.#memory.delete(id);
    localStorage.removeItem(PREFIX + id);
    this.#changed();
  }

  /** Takes out what was refused; what still has to be sent stays. */
  dropRefused() {
    for (const { id } of this.refused) this.drop(id);
  }

  /** Sends what waits, oldest first; one round at a time, and one tab at a time where the browser has locks. */
  flush() {
    clearTimeout(this.#timer);
    this.#running ??= this.#locked(() => this.#sendAll()).finally(() => { this.#running = null; });
    return this.#running;
  }

  #locked(work) {
    return navigator.locks ? navigator.locks.request(`${PREFIX}sending`, work) : work();
  }

  async #sendAll() {
    for (let entry = this.waiting[0]; entry; entry = this.waiting[0]) {
      const answer = await post(entry.path, entry.body);
      if (answer.status === 200) this.#sent(entry);
      else if (REFUSED.has(answer.status)) this.#keep({ ...entry, refused: answer.data.message });
      else return this.#later(answer);
    }
    this.#failures = 0;
    this.signedOut = false;
    return this.#changed();
  }

  #sent(entry) {
    this.#failures = 0;
    this.drop(entry.id);
    this.dispatchEvent(new CustomEvent("sent", { detail: entry }));
  }

  #later(answer) {
    this.signedOut = answer.status === 401;
    const doubling = FIRST_WAIT_SECONDS * 2 ** this.#failures++;
    const seconds = Math.max(answer.retryAfterSeconds, Math.min(doubling, LONGEST_WAIT_SECONDS) * (0.75 + Math.random() / 2));
    this.#timer = setTimeout(() => this.flush(), seconds * 1000);
    this.#changed();
  }

  /** Resolves, when this round of trying is over, to the entry as it is kept; null: it was sent. */
  async #put(entry) {
    this.#keep(entry);
    this.#failures = 0;
    await this.flush();
    if (!this.#failures && this.waiting.length) await this.flush(); // it came just as a round was ending
    return this.entries.find(({ id }) => id === entry.id) ?? null;
  }

  #keep(entry) {
    try {
      localStorage.setItem(PREFIX + entry.id, JSON.stringify(entry));
      this.#memory.delete(entry.id);
    } catch {
      this.#memory.set(entry.id, entry);
    }
    this.#changed();
  }

  /** Another tab put something in to be sent, or took out what it has sent. What was refused is only set aside. */
  #elsewhere({ oldValue, newValue }) {
    const entry = JSON.parse(newValue ?? oldValue);
    if (entry && !entry.refused) this.dispatchEvent(new CustomEvent(newValue ? "elsewhere" : "sent", { detail: entry }));
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event("change")); }
}

export const outbox = new Outbox();
