/* The few things that every module does with the document. */

/** An element: `h("p", {class: "small", onclick: f}, "text", child)`. Children are text or nodes, never markup. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text of people or models that the server has sanitised. `dir="auto"`: it may be in any script. */
export function prose(html) {
  const element = h("div", { class: "prose", dir: "auto" });
  element.innerHTML = html;
  return element;
}

/** Wide code and tables scroll sideways; whoever has no mouse must be able to focus them for that. */
export function makeScrollable(root) {
  for (const wide of root.querySelectorAll("pre, table")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
}

export const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

/** Says something to people who listen to the page. Emptied first, so that the same sentence is said twice. */
export function announce(sentence) {
  const live = document.getElementById("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = sentence; });
}

export const letter = (index) => "ABCDEFGHI"[index];

/** Whether typing goes into this element, so that single keys are letters and not commands. */
export const isText = (element) =>
  element instanceof HTMLElement && element.matches("textarea, select, input:not([type=radio], [type=checkbox])");
