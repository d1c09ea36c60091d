/* Dragging an answer by its letter to a place: an extra for a mouse, a pen or a finger. Keys and buttons do all of it.

   `element` is the row of places, which stands where the letters stood while one is dragged. Let go anywhere else, or
   Escape, and nothing has happened. */

import { h } from "./dom.js";

const FAR_PX = 6; // a hand that clicks shakes by less

export class Board {
  /** `letter(i)` names an answer; `ondrop(answer, place)`; `standing()`: for each place, the letters there. */
  constructor(count, { letter, ondrop, standing }) {
    Object.assign(this, { letter, ondrop, standing });
    this.places = Array.from({ length: count }, (_, i) => h("div", { "data-place": i + 1 }, h("b", {}, String(i + 1)), h("span", {})));
    this.element = h("div", { class: "board", "aria-hidden": "true", hidden: true }, this.places);
    this.ghost = h("span", { class: "letter ghost", "aria-hidden": "true" });
  }

  /** Makes `handle` something to drag answer `i` by. */
  grip(handle, i) {
    handle.classList.add("grip");
    handle.addEventListener("pointerdown", (event) => { if (event.isPrimary && event.button === 0) this.#press(handle, i, event); });
  }

  #press(handle, i, pressed) {
    const listening = new AbortController();
    const on = (kind, listen) => addEventListener(kind, listen, { signal: listening.signal, capture: true });
    const isOurs = (event) => event.pointerId === pressed.pointerId;
    const stop = () => { listening.abort(); this.#show(false); };
    let dragging = false;
    let place = null;
    on("pointermove", (event) => {
      if (!isOurs(event)) return;
      if (!dragging && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < FAR_PX) return;
      if (!dragging) this.#lift(handle, i, pressed.pointerId);
      dragging = true;
      place = this.#follow(event);
    });
    on("pointerup", (event) => {
      if (!isOurs(event)) return;
      stop();
      if (dragging && place !== null) this.ondrop(i, place);
    });
    on("pointercancel", (event) => { if (isOurs(event)) stop(); });
    on("keydown", (event) => {
      if (event.key !== "Escape" || !dragging) return;
      event.stopPropagation();
      stop();
    });
  }

  #lift(handle, i, pointerId) {
    handle.setPointerCapture(pointerId);
    this.ghost.textContent = this.letter(i);
    this.standing().forEach((letters, k) => { this.places[k].querySelector("span").textContent = letters.join(" "); });
    this.#show(true);
  }

  /** The place under the pointer, or null. */
  #follow({ clientX, clientY }) {
    this.ghost.style.translate = `${clientX}px ${clientY}px`;
    const under = document.elementFromPoint(clientX, clientY)?.closest(".board [data-place]") ?? null;
    for (const place of this.places) place.classList.toggle("over", place === under);
    return under && Number(under.dataset.place);
  }

  #show(is) {
    this.element.hidden = !is;
    document.body.classList.toggle("dragging", is);
    if (is) document.body.append(this.ghost);
    else this.ghost.remove();
  }
}
