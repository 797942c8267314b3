// Sends the samples of the microphone to classify.js, mixed to mono, in blocks.
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(4096);
    this.filled = 0;
  }

  process([channels]) {
    const frames = channels[0]?.length ?? 0;
    for (let n = 0; n < frames; n++) {
      let sum = 0;
      for (const channel of channels) sum += channel[n];
      this.block[this.filled++] = sum / channels.length;
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block); // a copy is sent
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
