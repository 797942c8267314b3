/** The Record button of a class card: press to start, press to stop; the sound is stored at once. */

import { part, setText } from "./dom.js";
import { microphoneProblem, record } from "./recorder.js";
import { duration, fileTime } from "./words.js";

const LEAST_SECONDS = 0.1;

/** @type {(() => Promise<void>)|null} stops and stores the recording that runs now */
let stopActive = null;

/** Stops and stores the recording of whichever card is recording. */
export async function stopRecording() {
  await stopActive?.();
}

/**
 * @param {HTMLElement} root  the card
 * @param {import("./types.js").Context} context
 * @param {(file: Blob, name: string) => Promise<any>} store
 */
export function cardRecorder(root, context, store) {
  const [button, level] = ["record", "level"].map((name) => part(root, name));
  let busy = false;

  const show = (/** @type {boolean} */ on) => {
    button.setAttribute("aria-pressed", String(on));
    setText(button, on ? "Stop" : "Record");
    level.hidden = !on;
    root.classList.toggle("recording", on);
  };

  async function begin() {
    await stopRecording();
    const recorder = await record(
      (decibel, seconds) => {
        level.value = decibel;
        setText(button, `Stop (${duration(seconds)})`);
      },
      () => stopRecording(),
    );
    show(true);
    stopActive = async () => {
      stopActive = null;
      const recording = await recorder.stop();
      show(false);
      await keep(recording);
    };
  }

  /** @param {import("./recorder.js").Recording} recording */
  async function keep({ blob, seconds, silent }) {
    if (seconds < LEAST_SECONDS) {
      context.status("The recording is too short. Press Record, make the sound, then press Stop.");
      return;
    }
    const clip = await context.attempt(() => store(blob, `recorded ${fileTime(new Date())}.wav`));
    if (!clip) return;
    const muted = silent ? " It is silent: check whether the microphone is muted." : "";
    context.status(`${duration(seconds)} recorded and stored.${muted}`);
  }

  button.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    try {
      if (button.getAttribute("aria-pressed") === "true") await stopRecording();
      else await begin();
    } catch (error) {
      show(false);
      context.error(microphoneProblem(error));
    } finally {
      busy = false;
    }
  });
}
