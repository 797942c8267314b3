// Small helpers for the elements of Try and Live, beside those of dom.js.

import { element, keepChildren } from "./dom.js";

/**
 * A new element with a class and a text. Text is never read as HTML.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, className = "", text = "") {
  const made = element(tag, text);
  if (className) made.className = className;
  return made;
}

/**
 * A button.
 * @param {string} text
 * @param {() => void} onClick
 * @param {{className?: string, testid?: string, label?: string}} [more] label: the name that a screen reader says
 */
export function button(text, onClick, more = {}) {
  const made = make("button", more.className ?? "", text);
  made.type = "button";
  if (more.testid) made.dataset.testid = more.testid;
  if (more.label) made.setAttribute("aria-label", more.label);
  made.addEventListener("click", onClick);
  return made;
}

/**
 * Say whether a button does something now. It stays focusable, so that the focus is not lost.
 * @param {HTMLElement} target
 * @param {boolean} usable
 */
export function setUsable(target, usable) {
  target.removeAttribute("disabled");
  target.setAttribute("aria-disabled", String(!usable));
}

/** @param {HTMLElement} target */
export function isUsable(target) {
  return target.getAttribute("aria-disabled") !== "true";
}

/**
 * As `keepChildren`, and the focus stays where an element with the focus is moved.
 * @template T
 * @param {HTMLElement} list
 * @param {T[]} values
 * @param {(value: T) => string} keyOf
 * @param {(value: T) => HTMLElement} create
 * @param {(child: HTMLElement, value: T) => void} update
 */
export function keyed(list, values, keyOf, create, update) {
  const focused = document.activeElement;
  keepChildren(list, values, keyOf, create, update);
  if (focused instanceof HTMLElement && focused !== document.activeElement && list.contains(focused)) focused.focus();
}

/** A probability for people. @param {number} value @returns {string} for example "0.93" */
export function shareText(value) {
  if (value > 0 && value < 0.005) return "<0.01";
  return value.toFixed(2);
}

/**
 * Only the newest of several answers counts: `begin` makes the ones before old and stops them.
 * @returns {{begin: () => AbortSignal, signal: () => AbortSignal, stop: () => void}}
 */
export function newest() {
  let current = new AbortController();
  return {
    begin() {
      current.abort();
      current = new AbortController();
      return current.signal;
    },
    signal: () => current.signal,
    stop: () => current.abort(),
  };
}
