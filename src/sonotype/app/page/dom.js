/** Small helpers for elements. Texts are always set as text, never as HTML. */

/**
 * @param {string} id
 * @returns {any} the element; the markup of the page has it
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element with the id ${id}`);
  return found;
}

/**
 * @param {ParentNode} root
 * @param {string} name  value of data-part
 * @returns {any} the first such element under `root`
 */
export function part(root, name) {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (!found) throw new Error(`The element has no part ${name}`);
  return found;
}

/**
 * @param {string} id  of a template with one element
 * @returns {HTMLElement} a copy of that element
 */
export function copyTemplate(id) {
  const copy = /** @type {HTMLTemplateElement} */ (byId(id)).content.cloneNode(true);
  return /** @type {HTMLElement} */ (/** @type {DocumentFragment} */ (copy).firstElementChild);
}

/**
 * @param {string} tag
 * @param {string} [text]
 * @param {Record<string, string>} [attributes]
 * @returns {any} a new element
 */
export function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/**
 * Sets a text if it differs, so that a screen reader does not repeat it and a selection stays.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Sets a text and hides the element where the text is empty.
 * @param {HTMLElement} target
 * @param {string} text
 */
export function setNote(target, text) {
  setText(target, text);
  target.hidden = !text;
}

/** @type {WeakMap<Element, Map<string, any>>} */
const keptItems = new WeakMap();

/**
 * Makes the children of a container agree with a list. Children are kept by their key, so that
 * focus, typed text and open parts stay.
 * @template T
 * @param {Element} container
 * @param {T[]} values
 * @param {(value: T) => string} keyOf
 * @param {(value: T) => HTMLElement} make
 * @param {(child: any, value: T) => void} [update]  also called for a new child
 */
export function keepChildren(container, values, keyOf, make, update) {
  const before = keptItems.get(container) ?? new Map();
  const after = new Map();
  let place = container.firstElementChild;
  for (const value of values) {
    const key = keyOf(value);
    if (after.has(key)) continue;
    const child = before.get(key) ?? make(value);
    after.set(key, child);
    if (child === place) place = place.nextElementSibling;
    else container.insertBefore(child, place);
    update?.(child, value);
  }
  for (const [key, child] of before) if (!after.has(key)) child.remove();
  keptItems.set(container, after);
}

/**
 * Makes the options of a select agree with a list; the choice stays where it can.
 * @param {HTMLSelectElement} select
 * @param {{value: string, text: string, disabled?: boolean}[]} options
 */
export function setOptions(select, options) {
  const chosen = select.value;
  const fill = (/** @type {HTMLOptionElement} */ option, /** @type {typeof options[0]} */ given) => {
    option.value = given.value;
    option.disabled = given.disabled ?? false;
    setText(option, given.text);
  };
  keepChildren(select, options, (option) => option.value, () => element("option"), fill);
  if (options.some((option) => option.value === chosen)) select.value = chosen;
}

/**
 * Calls with the files that are dropped on an element, those of dropped folders too.
 * @param {HTMLElement} target
 * @param {(files: File[]) => void} onFiles
 */
export function acceptDrops(target, onFiles) {
  let depth = 0;
  const mark = (/** @type {number} */ change) => {
    depth = Math.max(0, depth + change);
    target.classList.toggle("dragging", depth > 0);
  };
  target.addEventListener("dragenter", () => mark(1));
  target.addEventListener("dragleave", () => mark(-1));
  target.addEventListener("dragover", (event) => event.preventDefault());
  target.addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(-depth);
    const files = await droppedFiles(event.dataTransfer);
    if (files.length) onFiles(files);
  });
}

/**
 * @param {DataTransfer|null} transfer
 * @returns {Promise<File[]>} without hidden files of folders
 */
async function droppedFiles(transfer) {
  if (!transfer) return [];
  // The list of items is empty after the first wait: take everything from it at once.
  const plain = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const lists = await Promise.all(entries.map((entry) => filesOfEntry(entry)));
  return lists.flat();
}

/** @param {any} entry @returns {Promise<File[]>} */
async function filesOfEntry(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
  const reader = entry.createReader();
  /** @type {File[]} */
  const files = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return files;
    for (const inner of some) files.push(...(await filesOfEntry(inner)));
  }
}
