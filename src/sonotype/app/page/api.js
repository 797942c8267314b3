/**
 * Requests to the program, and errors as sentences.
 *
 * Every function throws an `Error` whose `message` is a sentence for the person. A request that was
 * aborted throws the `AbortError` of the browser.
 */

export const STOPPED = "The program does not answer. If it was stopped, start `sonotype app` again.";

/**
 * @typedef {Error & {status: number, kind: string}} RequestError
 *   `status` is the HTTP status, 0 if there was no answer; `kind` is the last part of the problem's
 *   `type`, for example "training-runs".
 */

/**
 * The address of a resource: each part is encoded, so that a name may have any character.
 * @param {...(string|number)} parts
 * @returns {string} for example address("api", "classes", "a/b") is "/api/classes/a%2Fb"
 */
export function address(...parts) {
  return "/" + parts.map((part) => encodeURIComponent(String(part))).join("/");
}

/**
 * @param {string} path
 * @param {Record<string, string|number|boolean|null|undefined>} values  null and undefined are left out
 * @returns {string} the path with the values as its query
 */
export function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @param {string} message
 * @param {number} status
 * @param {string} kind
 * @returns {RequestError}
 */
export function requestError(message, status, kind) {
  return Object.assign(new Error(message), { status, kind });
}

/**
 * The error of an answer: the `detail` of its problem document, or a general sentence.
 * @param {number} status
 * @param {string} text  body of the answer
 * @returns {RequestError}
 */
export function errorOfAnswer(status, text) {
  let document = {};
  try {
    document = JSON.parse(text) ?? {};
  } catch {
    // The answer is no problem document: the status must do.
  }
  const kind = String(document.type ?? "").split(/[/:#]/).pop() ?? "";
  const detail = typeof document.detail === "string" ? document.detail : document.title;
  return requestError(sentence(detail || generalMessage(status)), status, kind);
}

/** @param {number} status */
function generalMessage(status) {
  if (status === 401 || status === 403) {
    return "The program does not accept this page. Open the address that `sonotype app` printed.";
  }
  if (status === 404) return "This was not found. It may have been deleted.";
  if (status === 413) return "The file is too large.";
  return `The program could not do this (status ${status}).`;
}

/** @param {unknown} error @returns {string} a sentence for the person */
export function reason(error) {
  return sentence(error instanceof Error ? error.message : String(error));
}

/** @param {unknown} error @returns {boolean} whether the person or the page stopped the request */
export function isAbort(error) {
  return error instanceof Error && error.name === "AbortError";
}

/** @param {string} text @returns {string} with a full stop; it may begin with the name of a file */
function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "Something went wrong.";
  return /[.!?)]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/**
 * One request. The answer has a status of success.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw requestError(STOPPED, 0, "stopped");
  }
  if (!answer.ok) throw errorOfAnswer(answer.status, await answer.text());
  return answer;
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the JSON value
 */
export async function getJson(path, signal) {
  return (await request(path, { signal })).json();
}

/**
 * @param {"POST"|"PUT"|"PATCH"|"DELETE"} method
 * @param {string} path
 * @param {unknown} [value]  sent as JSON
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the JSON value of the answer, null if it has no body
 */
export async function sendJson(method, path, value, signal) {
  /** @type {RequestInit} */
  const options = { method, signal };
  if (value !== undefined) {
    options.body = JSON.stringify(value);
    options.headers = { "Content-Type": "application/json" };
  }
  const text = await (await request(path, options)).text();
  return text ? JSON.parse(text) : null;
}

/**
 * Sends the bytes of a file. The browser reads the file in parts, so that it may be large.
 * @param {string} path  with the name of the file in its query
 * @param {Blob} file
 * @param {(fraction: number) => void} [onFraction]  what part was sent, 0 to 1
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the JSON value of the answer
 */
export function sendFile(path, file, onFraction, signal) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    sender.open("POST", path);
    sender.setRequestHeader("Content-Type", "application/octet-stream");
    sender.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable && event.total > 0) onFraction?.(event.loaded / event.total);
    });
    sender.addEventListener("load", () => {
      if (sender.status < 200 || sender.status > 299) {
        reject(errorOfAnswer(sender.status, sender.responseText));
        return;
      }
      resolve(sender.responseText ? JSON.parse(sender.responseText) : null);
    });
    sender.addEventListener("error", () => reject(requestError(STOPPED, 0, "stopped")));
    sender.addEventListener("abort", () => reject(new DOMException("Stopped", "AbortError")));
    signal?.addEventListener("abort", () => sender.abort());
    sender.send(file);
  });
}

/**
 * Reads an answer of JSON lines (application/x-ndjson) as the lines arrive.
 * @param {string} path
 * @param {RequestInit} options  method, signal
 * @param {(value: any) => void} onLine
 * @returns {Promise<void>} after the last line
 */
export async function readLines(path, options, onLine) {
  const answer = await request(path, options);
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim()) onLine(JSON.parse(line));
    }
  } catch (error) {
    if (isAbort(error) || error instanceof SyntaxError) throw error;
    throw requestError(STOPPED, 0, "stopped");
  }
  if (rest.trim()) onLine(JSON.parse(rest));
}
