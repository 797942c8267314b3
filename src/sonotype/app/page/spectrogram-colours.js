// Colour maps of the spectrogram: the server sends grey pictures, the page gives them colours.

/** @typedef {[number, number, number]} Colour */

// From silence to the loudest level. Both maps change their lightness in one direction, so that
// they can be read without colour vision.
/** @type {Colour[]} */
const DARK = [[13, 17, 23], [28, 34, 78], [60, 60, 140], [38, 118, 168], [62, 180, 160], [176, 224, 140], [252, 250, 210]];
/** @type {Colour[]} */
const LIGHT = [[252, 252, 254], [222, 232, 244], [170, 196, 226], [110, 150, 200], [66, 98, 168], [44, 50, 118], [20, 14, 58]];

/**
 * The map as 256 colours.
 * @param {boolean} dark
 * @returns {Uint8ClampedArray} 768 numbers: red, green and blue of each grey level
 */
export function colourMap(dark) {
  const stops = dark ? DARK : LIGHT;
  const map = new Uint8ClampedArray(768);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const at = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part += 1) {
      const low = stops[at][part];
      map[level * 3 + part] = low + (stops[at + 1][part] - low) * (place - at);
    }
  }
  return map;
}

/**
 * A grey picture in the colours of a map.
 * @param {CanvasImageSource & {width: number, height: number}} picture
 * @param {Uint8ClampedArray} map of `colourMap`
 * @returns {HTMLCanvasElement}
 */
export function coloured(picture, map) {
  const { canvas, brush } = copied(picture);
  const pixels = brush.getImageData(0, 0, canvas.width, canvas.height);
  const data = pixels.data;
  for (let at = 0; at < data.length; at += 4) {
    const grey = data[at] * 3;
    data[at] = map[grey];
    data[at + 1] = map[grey + 1];
    data[at + 2] = map[grey + 2];
  }
  brush.putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * A picture whose alpha is the importance, in one colour.
 * @param {CanvasImageSource & {width: number, height: number}} picture
 * @param {string} colour
 * @returns {HTMLCanvasElement}
 */
export function tinted(picture, colour) {
  const { canvas, brush } = copied(picture);
  brush.globalCompositeOperation = "source-in";
  brush.fillStyle = colour;
  brush.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @param {CanvasImageSource & {width: number, height: number}} picture */
function copied(picture) {
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  if (!brush) throw new Error("this browser has no canvas");
  brush.drawImage(picture, 0, 0);
  return { canvas, brush };
}

const HUES = [210, 28, 145, 325, 48, 265, 180, 0, 95, 235];

/**
 * Colours of one class, always the same for the same place in the order of the classes.
 * @param {number} index
 * @param {boolean} dark
 * @returns {{fill: string, text: string}}
 */
export function classColour(index, dark) {
  const hue = HUES[index % HUES.length];
  return dark
    ? { fill: `hsl(${hue} 60% 68%)`, text: "#0d1117" }
    : { fill: `hsl(${hue} 65% 34%)`, text: "#ffffff" };
}
