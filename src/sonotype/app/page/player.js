// One audio element plays everything on the page, so two sounds never play at once.

/**
 * @typedef {object} PlayerState
 * @property {string} url address of the sound; empty before the first one
 * @property {number} time position in seconds
 * @property {boolean} playing
 * @property {string} error a sentence, or empty
 */

/** @typedef {(state: PlayerState) => void} Listener */

const CANNOT_PLAY = "The browser cannot play this sound. Store it as WAV, FLAC or MP3 and add it again.";

/** @type {HTMLAudioElement} */
const audio = new Audio();
audio.preload = "metadata";

/** @type {Set<Listener>} */
const listeners = new Set();
let url = "";
let stopAt = Infinity;
let error = "";
let frame = 0;
// A position that is asked for before the length of the sound is known.
let pending = /** @type {number | null} */ (null);

/** @returns {PlayerState} */
export function playerState() {
  return { url, time: pending ?? audio.currentTime, playing: !audio.paused, error };
}

/**
 * Call `listener` at each change of the position, of the sound, and of play and pause.
 * @param {Listener} listener
 * @returns {() => void} ends the calls
 */
export function onPlayer(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Play a sound, or a part of it. Another sound that plays is stopped.
 * @param {string} address
 * @param {number} [start] seconds
 * @param {number} [end] seconds; the end of the sound if omitted
 */
export async function playSound(address, start = 0, end = Infinity) {
  load(address);
  stopAt = end;
  seek(start);
  try {
    await audio.play();
  } catch (reason) {
    // AbortError: another sound or a pause came first, which is no failure of this one.
    if (url === address && /** @type {Error} */ (reason).name !== "AbortError") fail();
  }
}

export function pauseSound() {
  audio.pause();
}

/**
 * Stop and forget the sound, for example because it was deleted.
 * @param {string} address
 */
export function forgetSound(address) {
  if (url !== address) return;
  audio.pause();
  url = "";
  pending = null;
  audio.removeAttribute("src");
  audio.load();
  tell();
}

/**
 * Move to a position of a sound without a start of the playback.
 * @param {string} address
 * @param {number} time seconds
 */
export function seekSound(address, time) {
  load(address);
  if (time >= stopAt) stopAt = Infinity;
  seek(time);
  tell();
}

/** @param {string} address */
function load(address) {
  if (url === address) return;
  audio.pause();
  url = address;
  error = "";
  pending = null;
  stopAt = Infinity;
  audio.src = address;
}

/** @param {number} time */
function seek(time) {
  if (audio.readyState >= HTMLMediaElement.HAVE_METADATA) {
    pending = null;
    audio.currentTime = time;
  } else {
    pending = time;
  }
}

function fail() {
  error = CANNOT_PLAY;
  tell();
}

function tell() {
  const state = playerState();
  for (const listener of listeners) listener(state);
}

function follow() {
  cancelAnimationFrame(frame);
  checkEnd();
  tell();
  if (!audio.paused) frame = requestAnimationFrame(follow);
}

function checkEnd() {
  if (audio.paused || pending !== null || audio.currentTime < stopAt) return;
  audio.pause();
  audio.currentTime = stopAt;
  stopAt = Infinity;
}

audio.addEventListener("loadedmetadata", () => {
  if (pending === null) return;
  audio.currentTime = pending;
  pending = null;
});
audio.addEventListener("play", follow);
audio.addEventListener("pause", tell);
audio.addEventListener("seeked", tell);
audio.addEventListener("ended", tell);
// Frames stop in a hidden tab; this event goes on there.
audio.addEventListener("timeupdate", checkEnd);
audio.addEventListener("error", () => {
  if (url) fail();
});
