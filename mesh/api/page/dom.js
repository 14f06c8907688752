// Elements are made here and nowhere else: text goes in as text.

export const at = (id) => document.getElementById(id);

/** An element with attributes (`class`, `on…` as functions) and children: elements, or texts that are never markup. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A text of a peer: `bdi` keeps its direction to itself. */
export const said = (text, attributes = {}) => make("bdi", attributes, text);

export function draw(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const fill = (id, ...children) => at(id).replaceChildren(...children);

export const empty = (text) => make("li", { class: "empty" }, text);
