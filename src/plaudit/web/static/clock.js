/* How long somebody worked at a task: while the page is in view and there was a sign of life in the last minute.
   Wall time would count lunch, and slow readers would be taken for idle ones. */

const IDLE_SECONDS = 60;
const SIGNS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchmove"];

export class Clock {
  #seconds = 0;
  #last = performance.now();
  #sign = performance.now();

  constructor() {
    for (const sign of SIGNS) addEventListener(sign, () => this.#alive(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#count() : this.#wake()));
  }

  get seconds() {
    this.#count();
    return Math.round(this.#seconds * 10) / 10;
  }

  get active() { return !document.hidden && performance.now() - this.#sign < IDLE_SECONDS * 1000; }

  restart(seconds = 0) {
    this.#seconds = seconds;
    this.#wake();
  }

  #alive() {
    this.#count();
    this.#wake();
  }

  #wake() { this.#last = this.#sign = performance.now(); }

  #count() {
    // After hiding, `#last` is when the page was hidden, and waking moves it on: time out of view is not counted.
    const until = Math.min(performance.now(), this.#sign + IDLE_SECONDS * 1000);
    if (until > this.#last) this.#seconds += (until - this.#last) / 1000;
    this.#last = performance.now();
  }
}
