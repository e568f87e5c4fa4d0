/** Elements, made of names, attributes and text nodes; nothing here reads markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `null` and `false` leave an attribute or a child out, a function listens. */
export function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

/** An SVG element, by the same rules. */
export function drawn(name, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, name), attributes, children);
}

/** Text in SVG at a place. */
export function label(x, y, text, attributes = {}) {
  return drawn("text", { x, y, ...attributes }, text);
}

/** Puts children in the place of those that are there. */
export function fill(parent, ...children) {
  parent.replaceChildren(...kept(children));
  return parent;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A table: its caption, heads, and rows of cells; numbers are set to the right. */
export function fillTable(table, { caption, heads, rows, numeric = [] }) {
  const cell = (content, column, name, attributes = {}) =>
    element(name, { ...attributes, class: numeric.includes(column) ? "number" : null }, content);
  const head = heads.map((text, column) => cell(text, column, "th", { scope: "col" }));
  const body = rows.map((cells) =>
    element("tr", {}, ...cells.map((content, column) =>
      column === 0 ? cell(content, column, "th", { scope: "row" }) : cell(content, column, "td"))));
  fill(table, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

/** Buttons of which one is chosen, as radio buttons in a field set that has its legend. */
export function fillChoice(fieldset, name, options, onChoose) {
  for (const [value, text] of options) {
    const input = element("input", { type: "radio", name, value, onchange: () => onChoose(value) });
    fieldset.append(element("label", {}, input, element("span", {}, text)));
  }
}

export function choose(fieldset, value) {
  for (const input of fieldset.querySelectorAll("input")) input.checked = input.value === value;
}

function furnished(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...kept(children));
  return made;
}

function kept(children) {
  return children.flat().filter((child) => child !== null && child !== undefined && child !== false);
}
