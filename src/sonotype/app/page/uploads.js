/** Several files in one go: one progress line, one summary; a refused file does not stop the others. */

import { reason } from "./api.js";
import { counted } from "./words.js";

/**
 * @typedef {object} UploadView
 * @property {(text: string, fraction: number) => void} progress
 * @property {(summary: string, refused: {name: string, reason: string}[]) => void} done
 */

/**
 * A queue of files. Files that are added while it works are sent after the others.
 * @param {(file: File, onFraction: (fraction: number) => void) => Promise<{stored?: boolean}>} send
 *   sends one file; an error with `status` 0 (the program is gone) ends the queue
 * @param {UploadView} view
 * @returns {(files: Iterable<File>) => Promise<void>} adds files; resolves when the queue is empty
 */
export function uploadQueue(send, view) {
  /** @type {File[]} */
  const waiting = [];
  /** @type {Promise<void>|null} */
  let working = null;

  async function work() {
    const result = { stored: 0, known: 0, total: waiting.length };
    /** @type {{name: string, reason: string}[]} */
    const refused = [];
    while (waiting.length) {
      const file = /** @type {File} */ (waiting.shift());
      const at = result.stored + result.known + refused.length;
      result.total = at + 1 + waiting.length;
      const show = (/** @type {number} */ fraction) =>
        view.progress(`Storing ${at + 1} of ${result.total}: ${file.name}`, (at + fraction) / result.total);
      show(0);
      try {
        const answer = await send(file, show);
        if (answer?.stored === false) result.known += 1;
        else result.stored += 1;
      } catch (error) {
        refused.push({ name: file.name, reason: reason(error) });
        if (/** @type {any} */ (error).status === 0) {
          for (const left of waiting.splice(0)) refused.push({ name: left.name, reason: "It was not sent." });
        }
      }
    }
    view.done(summary(result.stored, result.known, refused.length), refused);
  }

  return (files) => {
    waiting.push(...files);
    working ??= work().finally(() => {
      working = null;
    });
    return working;
  };
}

/**
 * @param {number} stored
 * @param {number} known  files whose content the class had
 * @param {number} refused
 * @returns {string}
 */
export function summary(stored, known, refused) {
  const parts = [];
  if (stored) parts.push(`${counted(stored, "sound")} stored`);
  if (known) parts.push(`${known} ${known === 1 ? "was" : "were"} there already`);
  if (refused) parts.push(`${refused} refused`);
  return parts.length ? `${parts.join(", ")}.` : "No files were chosen.";
}
