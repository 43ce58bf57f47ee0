// From a file to the square of pixels that the network sees, as Pillow would cut it: the shorter side resized to `side`
// with its antialiased bicubic filter, across and then down, then the middle. In whole numbers, as Pillow computes, so
// that the bytes are the same.
"use strict";

/* For the `count` pixels in the middle of the new row: where each begins to read, and with what weights, in 2^-22
   (libImaging/Resample.c). */
function bicubicWeights(before, after, count) {
  const ratio = before / after, stretch = Math.max(ratio, 1), reach = 2 * stretch;
  const cubic = x => x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  const left = Math.floor((after - count) / 2);
  return Array.from({ length: count }, (_, place) => {
    const center = (left + place + 0.5) * ratio, first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const end = Math.min(Math.trunc(center + reach + 0.5), before);
    const weights = Array.from({ length: end - first }, (_, n) => cubic(Math.abs((n + first - center + 0.5) / stretch)));
    const sum = weights.reduce((all, one) => all + one, 0);
    return { first, weights: weights.map(one => { const whole = one / sum * 2 ** 22; return Math.trunc(whole + (whole < 0 ? -0.5 : 0.5)); }) };
  });
}

/* Resize lines of pixels: `count` of them, `step` apart, each `next` from one pixel of it to the next. */
function resizeLines(pixels, out, rows, count, [step, next], [outStep, outNext]) {
  for (let line = 0; line < count; line++) rows.forEach(({ first, weights }, place) => {
    for (let color = 0; color < 3; color++) {
      let sum = 2 ** 21;
      for (let n = 0; n < weights.length; n++) sum += weights[n] * pixels[line * step + (first + n) * next + color];
      out[line * outStep + place * outNext + color] = Math.min(Math.max(Math.floor(sum / 2 ** 22), 0), 255);
    }
  });
}

/* Bytes of red, green, blue, alpha (as a canvas gives them) -> planes of red, green and blue in [0, 1]. */
function middleSquare(pixels, width, height, side) {
  const share = side / Math.min(width, height);
  const wide = width <= height ? side : Math.round(width * share), tall = height <= width ? side : Math.round(height * share);
  const across = new Uint8ClampedArray(side * height * 3), all = new Uint8ClampedArray(side * side * 3);
  resizeLines(pixels, across, bicubicWeights(width, wide, side), height, [width * 4, 4], [side * 3, 3]);
  resizeLines(across, all, bicubicWeights(height, tall, side), side, [3, side * 3], [3, side * 3]);
  const planes = new Float32Array(3 * side ** 2);
  for (let n = 0; n < side ** 2; n++) for (let color = 0; color < 3; color++) planes[color * side ** 2 + n] = all[3 * n + color] / 255;
  return planes;
}

const MOST_PIXELS = 24e6;

/* The pixels of a file or of an element: upright, on white where it is transparent, scaled first where it is huge. */
async function readPhotograph(source, side) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(source, { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" });
  } catch {
    throw new Error(`The browser cannot read ${source.name ? `“${source.name}”` : "this"} as a picture. JPEG, PNG and WebP work; HEIC often does not, and a file may be cut off.`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.round(bitmap.width * shrink)), height = Math.max(1, Math.round(bitmap.height * shrink));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { fillStyle: "#fff", imageSmoothingQuality: "high" }).fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return middleSquare(context.getImageData(0, 0, width, height).data, width, height, side);
}

/* Some browsers protect privacy by noise in what a page reads from a canvas: the network would see it. */
function canvasIsNoisy() {
  const context = Object.assign(document.createElement("canvas"), { width: 16, height: 16 }).getContext("2d");
  const wanted = context.createImageData(16, 16);
  wanted.data.forEach((_, n) => { wanted.data[n] = n % 4 === 3 ? 255 : n * 37 % 256; });
  context.putImageData(wanted, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.some((value, n) => value !== wanted.data[n]);
}

if (typeof module !== "undefined") module.exports = { middleSquare };
