/* The page's texts in the reader's language: the template puts them into one JSON element. */

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

/** The text of a key, with `{name}` replaced by `values.name`. */
export const t = (key, values = {}) => (texts[key] ?? key).replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);

/** A project's own word (an attribute, a flag), translated where it is one of the usual ones. */
export const word = (family, name) => texts[`${family}-${name}`] ?? name;

/** The usual question in the reader's language; a project's own as it is. */
export const question = (text) => (text === "Which answer is better?" ? t("question-default") : text);
