// Classifies sounds with the model.onnx beside this file. The model has its front end inside; this
// script decodes, resamples, crops and pads, as the metadata of the model says.

const RUNTIME = "./ort.wasm.bundle.min.mjs";
const BARS = 8; // classes that are shown
const EVERY = 1000; // ms between two results of the microphone

const element = (id) => document.getElementById(id);

class UserError extends Error {}

// An entry of the metadata of an ONNX file: field 14 of the protobuf message, key (1), value (2).
function metadataOf(bytes, wanted) {
  const text = new TextDecoder();
  const fields = function* (part) {
    let at = 0;
    const number = () => {
      let value = 0;
      for (let scale = 1; ; scale *= 128) {
        const byte = part[at++];
        value += (byte & 127) * scale;
        if (!(byte & 128)) return value; // also at the end, where the byte is undefined
      }
    };
    while (at < part.length) {
      const tag = number();
      const kind = tag % 8;
      if (kind === 0) number();
      else {
        const length = { 1: 8, 2: 0, 5: 4 }[kind] || number();
        yield [Math.floor(tag / 8), part.subarray(at, at + length)];
        at += length;
      }
    }
  };
  for (const [field, part] of fields(bytes)) {
    if (field !== 14) continue;
    const { 1: key, 2: value } = Object.fromEntries(fields(part));
    if (text.decode(key) === wanted) return text.decode(value);
  }
  return null;
}

async function download(name) {
  const response = await fetch(name).catch(() => null);
  if (response?.ok) return new Uint8Array(await response.arrayBuffer());
  throw new UserError(
    location.protocol === "file:"
      ? "Browsers load no models from file: addresses. Start python -m http.server in this folder."
      : `${name} cannot be loaded. Export it with sonotype and copy it into this folder.`,
  );
}

async function loadModel() {
  const bytes = await download("model.onnx");
  const about = metadataOf(bytes, "sonotype");
  if (!about) throw new UserError("model.onnx was not exported by sonotype.");
  const card = JSON.parse(about);
  if (card.options.trim) throw new UserError("Models that trim silence do not work here.");
  const runtime = await import(RUNTIME).catch(() => {
    throw new UserError("The files of onnxruntime-web are missing; README.md says which to copy.");
  });
  runtime.env.wasm.numThreads = 1; // more threads need headers that simple servers do not send
  const session = await runtime.InferenceSession.create(bytes);
  const rate = card.sample_rate;
  return {
    runtime,
    session,
    rate,
    length: Math.round(card.options.seconds * rate),
    seconds: card.options.seconds,
    pad: card.options.pad,
    crop: card.options.crop,
    shifts: card.tta_shifts,
    head: card.heads.at(-1), // the finest classes
    threshold: card.unknown_threshold,
  };
}

// One clip of the model's length: cropped, or padded with silence or with copies.
function fitted(samples, { length, pad, crop }) {
  const surplus = samples.length - length;
  if (surplus >= 0) {
    const first = crop === "centre" ? Math.floor(surplus / 2) : 0;
    return samples.subarray(first, first + length);
  }
  const clip = new Float32Array(length);
  if (pad === "repeat") return clip.map((_, n) => samples[n % samples.length]);
  clip.set(samples, pad === "centre" ? Math.floor(-surplus / 2) : 0);
  return clip;
}

// Probabilities of the classes and the unknown score, each the mean over shifted copies of the clip.
async function classify(model, clip) {
  const { runtime, session, head, shifts, length } = model;
  const views = new Float32Array(shifts * length);
  for (let view = 0; view < shifts; view++) {
    const shift = Math.round(view * (length / shifts));
    views.set(clip.subarray(length - shift), view * length);
    views.set(clip.subarray(0, length - shift), view * length + shift);
  }
  const waveform = new runtime.Tensor("float32", views, [shifts, length]);
  const start = performance.now();
  const names = session.outputNames.filter((name) => [head.name, "unknown_score"].includes(name));
  const outputs = await session.run({ waveform }, names);
  const mean = (values, first, step) => {
    let sum = 0;
    for (let view = 0; view < shifts; view++) sum += values[first + view * step];
    return sum / shifts;
  };
  const { classes } = head;
  return {
    milliseconds: performance.now() - start,
    proba: classes.map((_, n) => mean(outputs[head.name].data, n, classes.length)),
    unknown: outputs.unknown_score ? mean(outputs.unknown_score.data, 0, 1) : 0,
  };
}

// Mono samples of an audio buffer at the rate of the model.
async function resampled(buffer, rate) {
  const frames = Math.max(1, Math.round(buffer.duration * rate));
  const context = new OfflineAudioContext(buffer.numberOfChannels, frames, rate);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  return monoOf(await context.startRendering());
}

function monoOf(buffer) {
  const mono = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, n) => {
      mono[n] += value / buffer.numberOfChannels;
    });
  }
  return mono;
}

async function decoded(file, rate) {
  // The context sets the rate: decodeAudioData resamples to it.
  const context = new OfflineAudioContext(1, 1, rate);
  const buffer = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
    throw new UserError(`${file.name} is no sound file that this browser can decode.`);
  });
  return monoOf(buffer);
}

function show(model, { proba, unknown, milliseconds }, description) {
  const order = [...proba.keys()].sort((a, b) => proba[b] - proba[a]).slice(0, BARS);
  const rows = order.map((index) => {
    const row = document.createElement("li");
    const [name, value, bar] = ["span", "data", "i"].map((tag) => document.createElement(tag));
    name.textContent = model.head.classes[index];
    value.textContent = proba[index].toFixed(3);
    value.value = proba[index];
    bar.style.width = `${100 * proba[index]}%`;
    row.append(name, value, bar);
    return row;
  });
  element("bars").replaceChildren(...rows);
  element("unknown").hidden = model.threshold === null || unknown <= model.threshold;
  element("result").hidden = false;
  element("status").textContent = `${description} (computed in ${Math.round(milliseconds)} ms)`;
}

async function classifyFile(model, file) {
  const samples = await decoded(file, model.rate);
  if (!samples.length) throw new UserError(`${file.name} has no samples.`);
  const seconds = samples.length / model.rate;
  const used = model.crop === "centre" ? "middle" : "first";
  const part = seconds > model.seconds + 0.05 ? `, the ${used} ${model.seconds} s are used` : "";
  const result = await classify(model, fitted(samples, model));
  show(model, result, `${file.name}: ${seconds.toFixed(1)} s${part}`);
}

// Starts the microphone; returns a function that stops it.
async function listen(model, failed) {
  if (!navigator.mediaDevices) {
    throw new UserError("Browsers give the microphone to https: addresses and to localhost only.");
  }
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: raw }).catch((error) => {
    throw new UserError(`The microphone cannot be used (${error.message}).`);
  });
  const context = new AudioContext();
  const stop = () => {
    stream.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  await context.audioWorklet.addModule("recorder.js").catch(async () => {
    await stop();
    throw new UserError("recorder.js cannot be loaded. It must be in this folder.");
  });
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(recorder);
  const newest = new Float32Array(Math.ceil(model.seconds * context.sampleRate));
  let heard = 0;
  recorder.port.onmessage = ({ data }) => {
    newest.copyWithin(0, data.length);
    newest.set(data, newest.length - data.length);
    heard = Math.min(heard + data.length, newest.length);
  };
  let busy = false;
  const timer = setInterval(async () => {
    if (busy || !heard) return;
    busy = true;
    try {
      const buffer = new AudioBuffer({ length: heard, sampleRate: context.sampleRate });
      buffer.copyToChannel(newest.subarray(newest.length - heard), 0);
      const clip = fitted(await resampled(buffer, model.rate), model);
      const result = await classify(model, clip);
      const seconds = heard / context.sampleRate;
      if (stream.active) show(model, result, `Microphone: the last ${seconds.toFixed(1)} s`);
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
    }
  }, EVERY);
  return () => {
    clearInterval(timer);
    return stop();
  };
}

function report(error) {
  element("error").hidden = false;
  element("error").textContent =
    error instanceof UserError ? error.message : `Unexpected error: ${error.message ?? error}`;
}

async function start() {
  const [file, microphone] = [element("file"), element("microphone")];
  const model = await loadModel();
  const { head, rate, seconds } = model;
  element("model").textContent =
    `${head.classes.length} classes, clips of ${seconds} s at ${rate.toLocaleString("en")} Hz`;
  file.disabled = microphone.disabled = false;

  let stop = null;
  // Runs one action at a time, and shows its error.
  const run = async (action) => {
    file.disabled = microphone.disabled = true;
    element("error").hidden = true;
    await action().catch(report);
    file.disabled = microphone.disabled = false;
    microphone.textContent = stop ? "Stop the microphone" : "Use the microphone";
    microphone.setAttribute("aria-pressed", String(Boolean(stop)));
    // Screen readers read the results of files, but not one each second.
    element("status").setAttribute("aria-live", stop ? "off" : "polite");
  };
  const quiet = async () => {
    await stop?.();
    stop = null;
  };
  file.addEventListener("change", () => {
    const [chosen] = file.files;
    file.value = ""; // so that the same file can be chosen again
    if (!chosen) return;
    run(async () => {
      await quiet();
      await classifyFile(model, chosen);
    });
  });
  microphone.addEventListener("click", () => {
    run(async () => {
      if (stop) await quiet();
      else stop = await listen(model, report);
    });
  });
}

start().catch((error) => {
  element("model").textContent = "";
  report(error);
});
