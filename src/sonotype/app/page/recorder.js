/** The microphone: samples as they come, and recordings as WAV files. */

const WORKLET = new URL("./recorder-worklet.js", import.meta.url);
/** Lowest level in dB of full scale that is told. */
export const SILENCE_DB = -100;
const LIMIT_SECONDS = 1800;
/** Seconds within which a device starts. */
const LATEST_START = 0.5;
const HEADER_BYTES = 44;

/**
 * @typedef {object} Microphone
 * @property {number} rate  samples per second
 * @property {() => Promise<void>} stop  delivers the last samples and releases the microphone
 *
 * @typedef {object} Recording
 * @property {Blob} blob  16-bit WAV, mono
 * @property {number} seconds
 * @property {boolean} silent  whether every sample is 0: the microphone is muted
 *
 * @typedef {object} Recorder
 * @property {() => Promise<Recording>} stop
 * @property {() => Promise<void>} cancel  stops and keeps nothing
 */

/**
 * Opens the microphone without the processing that is meant for speech.
 * @param {(samples: Float32Array) => void} onSamples  mono, -1 to 1, about 20 times a second
 * @param {() => void} [onEnded]  the microphone was taken away while it was open
 * @returns {Promise<Microphone>}
 * @throws an error for {@link microphoneProblem}
 */
export async function openMicrophone(onSamples, onEnded) {
  if (!navigator.mediaDevices?.getUserMedia || typeof AudioWorkletNode === "undefined") {
    throw new DOMException("No microphone without a secure address", "SecurityError");
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const audio = new AudioContext();
  try {
    await audio.audioWorklet.addModule(WORKLET);
    await audio.resume();
    return connectMicrophone(stream, audio, onSamples, onEnded);
  } catch (error) {
    release(stream, audio);
    throw error;
  }
}

/**
 * @param {MediaStream} stream
 * @param {AudioContext} audio
 * @param {(samples: Float32Array) => void} onSamples
 * @param {(() => void)} [onEnded]
 * @returns {Microphone}
 */
function connectMicrophone(stream, audio, onSamples, onEnded) {
  const node = new AudioWorkletNode(audio, "sonotype-recorder", { numberOfOutputs: 0 });
  /** @type {() => void} */
  let flushed = () => {};
  node.port.onmessage = ({ data }) => (data === "end" ? flushed() : onSamples(data));
  audio.createMediaStreamSource(stream).connect(node);
  for (const track of stream.getTracks()) track.addEventListener("ended", () => onEnded?.());
  /** @type {Promise<void>|undefined} */
  let stopping;
  const stop = async () => {
    await new Promise((resolve) => {
      flushed = () => resolve(undefined);
      setTimeout(flushed, 500); // The audio thread may be gone already.
      node.port.postMessage("flush");
    });
    release(stream, audio);
  };
  return { rate: audio.sampleRate, stop: () => (stopping ??= stop()) };
}

/** @param {MediaStream} stream @param {AudioContext} audio */
function release(stream, audio) {
  for (const track of stream.getTracks()) track.stop();
  if (audio.state !== "closed") audio.close();
}

/**
 * What to do about an error of {@link openMicrophone} or {@link record}.
 * @param {unknown} error
 * @returns {string}
 */
export function microphoneProblem(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (!window.isSecureContext) {
    return "The browser allows the microphone only on this computer or over https. Open the page as http://127.0.0.1 on the computer that runs sonotype, or add a sound file instead.";
  }
  if (name === "NotAllowedError" || name === "SecurityError") {
    return "The browser does not allow the microphone for this page. Allow it in the address bar of the browser, then try again.";
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") {
    return "No microphone was found. Connect one, then try again.";
  }
  if (name === "NotReadableError" || name === "AbortError") {
    return "The microphone cannot be opened. Close other programs that use it, then try again.";
  }
  return `The microphone cannot be used: ${error instanceof Error ? error.message : String(error)}`;
}

/**
 * @param {Float32Array} samples
 * @returns {number} level in dB of full scale, at least {@link SILENCE_DB}
 */
export function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const power = samples.length ? sum / samples.length : 0;
  return power > 0 ? Math.max(SILENCE_DB, 10 * Math.log10(power)) : SILENCE_DB;
}

/**
 * Starts a recording.
 * @param {(levelDb: number, seconds: number) => void} onLevel  level and length up to now
 * @param {() => void} [onEnded]  the microphone is gone or the recording is 30 minutes long: call stop
 * @returns {Promise<Recorder>}
 * @throws an error for {@link microphoneProblem}
 */
export async function record(onLevel, onEnded) {
  /** @type {Int16Array[]} */
  const blocks = [];
  let length = 0;
  let rate = 48000;
  const take = (/** @type {Float32Array} */ samples) => {
    if (length >= LIMIT_SECONDS * rate) return;
    blocks.push(toSixteenBits(samples));
    length += samples.length;
    onLevel(levelOf(samples), length / rate);
    if (length >= LIMIT_SECONDS * rate) onEnded?.();
  };
  const microphone = await openMicrophone(take, onEnded);
  rate = microphone.rate;
  return {
    async stop() {
      await microphone.stop();
      const silent = blocks.every((block) => block.every((sample) => sample === 0));
      const started = silent ? blocks : withoutStart(blocks, rate * LATEST_START);
      const kept = started.reduce((sum, block) => sum + block.length, 0);
      return { blob: encodeWav(started, rate), seconds: kept / rate, silent };
    },
    cancel: () => microphone.stop(),
  };
}

/**
 * A device delivers zeros until it has started: a classifier would learn or judge the step after them.
 * @param {Int16Array[]} blocks
 * @param {number} most  samples that are left out at the start
 * @returns {Int16Array[]} the blocks without the zeros at the start
 */
export function withoutStart(blocks, most) {
  let left = most;
  return blocks.map((block) => {
    const first = block.findIndex((sample) => sample !== 0);
    const cut = Math.min(first < 0 ? block.length : first, left);
    left = cut < block.length ? 0 : left - cut;
    return block.subarray(cut);
  });
}

/** @param {Float32Array} samples @returns {Int16Array} rounded; values beyond full scale are clipped */
export function toSixteenBits(samples) {
  return Int16Array.from(samples, (sample) =>
    Math.max(-32768, Math.min(32767, Math.round(sample * 32767))),
  );
}

/**
 * @param {Int16Array[]} blocks  mono samples
 * @param {number} rate
 * @returns {Blob} a WAV file of 16-bit PCM
 */
export function encodeWav(blocks, rate) {
  const samples = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 2 * samples));
  const write = (/** @type {number} */ at, /** @type {string} */ text) => {
    for (let index = 0; index < text.length; index += 1) view.setUint8(at + index, text.charCodeAt(index));
  };
  write(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + 2 * samples, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes per second
  view.setUint16(32, 2, true); // bytes per frame
  view.setUint16(34, 16, true); // bits per sample
  write(36, "data");
  view.setUint32(40, 2 * samples, true);
  let at = HEADER_BYTES;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, sample, true);
      at += 2;
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}
