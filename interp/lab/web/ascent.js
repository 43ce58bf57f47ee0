// A picture that makes a channel large, grown from noise: the book's standard recipe (interp/featurevis: waves.py, colors.py,
// transforms.py, ascent.py). Half of the steps at half the side, then the rest; every step turns, scales and shifts the picture.
"use strict";

const RECIPE = {
  decay: 1.25, noise: 0.1, contrast: 1.8, rate: 0.1, betas: [0.5, 0.99], gain: 128 ** 0.25 / 4,
  rotate: 15, scale: [0.85, 1.2], shift: 8,
  colors: [[0.26, 0.09, 0.02], [0.27, 0, -0.05], [0.27, -0.09, 0.03]],
};

/* The sum of waves, sum over k of value[k] exp(sign 2 pi i k x / side), along one line of a complex plane, in place. */
function sumWaves(real, imaginary, start, step, side, sign) {
  for (let n = 1, m = 0; n < side; n++) { // the order of reversed bits
    let bit = side >> 1;
    for (; m & bit; bit >>= 1) m ^= bit;
    m ^= bit;
    if (n < m) for (const part of [real, imaginary]) [part[start + n * step], part[start + m * step]] = [part[start + m * step], part[start + n * step]];
  }
  for (let half = 1; half < side; half *= 2) for (let k = 0; k < half; k++) {
    const cosine = Math.cos(Math.PI * k / half), sine = sign * Math.sin(Math.PI * k / half);
    for (let n = k; n < side; n += 2 * half) {
      const a = start + n * step, b = a + half * step;
      const x = cosine * real[b] - sine * imaginary[b], y = cosine * imaginary[b] + sine * real[b];
      real[b] = real[a] - x; imaginary[b] = imaginary[a] - y;
      real[a] += x; imaginary[a] += y;
    }
  }
}

function sumWavesOfPlane(real, imaginary, side, sign) {
  for (let n = 0; n < side; n++) sumWaves(real, imaginary, n * side, 1, side, sign);
  for (let n = 0; n < side; n++) sumWaves(real, imaginary, n, side, side, sign);
}

/* How much each wave of a half plane counts: the gain / |k|^decay, twice where its opposite is not there itself. */
function waveScale(side) {
  const half = side / 2, scale = new Float64Array(side * (half + 1));
  for (let row = 0; row < side; row++) for (let column = 0; column <= half; column++) {
    const down = row < half ? row : row - side, free = row !== half && column !== half; // waves of two pixels have no phase
    scale[row * (half + 1) + column] = free ? (column ? 2 : 1) * RECIPE.gain * Math.max(Math.hypot(down, column), 1) ** -RECIPE.decay : 0;
  }
  return scale;
}

/* Where each pixel of a turned, scaled and shifted picture comes from: four pixels and their weights, mirrored at the edge. */
function warping(side, degrees, factor, down, across) {
  const turn = degrees * Math.PI / 180, cosine = Math.cos(turn) / factor, sine = Math.sin(turn) / factor, middle = (side - 1) / 2;
  const places = new Int32Array(4 * side ** 2), weights = new Float64Array(4 * side ** 2);
  const mirrored = value => { const inside = Math.abs(value + 0.5) % (2 * side); return Math.min(Math.max((inside > side ? 2 * side - inside : inside) - 0.5, 0), side - 1); };
  for (let row = 0, n = 0; row < side; row++) for (let column = 0; column < side; column++, n += 4) {
    const y = row - middle - down, x = column - middle - across;
    const from = [mirrored(sine * x + cosine * y + middle), mirrored(cosine * x - sine * y + middle)], [top, left] = from.map(Math.floor);
    const [b, r] = [from[0] - top, from[1] - left], bottom = Math.min(top + 1, side - 1), right = Math.min(left + 1, side - 1);
    places.set([top * side + left, top * side + right, bottom * side + left, bottom * side + right], n);
    weights.set([(1 - b) * (1 - r), (1 - b) * r, b * (1 - r), b * r], n);
  }
  return { places, weights };
}

class Ascent {
  constructor(network, { layer, channel, seed = 0, steps = 96, side = 128, transforms = true }) {
    Object.assign(this, { network, layer, channel, transforms, random: randomNumbers(seed), steps, last: side, done: 0 });
    if (!this.places(side)) throw new Error(`${layer} has no places in a picture of ${side} × ${side} pixels.`);
    this.begin(steps < 2 || !this.places(side / 2) ? side : side / 2);
  }

  /* How many numbers a channel of the layer has for pictures of a side: without padding, small ones may leave none. */
  places(side) {
    this.network.arrange(side);
    const { height, width } = this.network.tensor(this.layer);
    return height * width;
  }

  /* Begin a stage: the same waves at another side, and an optimizer that remembers nothing. */
  begin(side) {
    const half = side / 2 + 1, count = 3 * side * half, before = this.waves, old = this.side;
    this.waves = [new Float64Array(count), new Float64Array(count)];
    if (!before) for (const part of this.waves) for (let n = 0; n < count; n++) part[n] = RECIPE.noise * this.random.normal();
    else for (const [kind, part] of before.entries()) for (let color = 0; color < 3; color++)
      for (let row = -old / 2 + 1; row < old / 2; row++) for (let column = 0; column < old / 2; column++)
        this.waves[kind][(color * side + (row + side) % side) * half + column] = part[(color * old + (row + old) % old) * (old / 2 + 1) + column];
    Object.assign(this, { side, half, scale: waveScale(side), age: 0 });
    this.mean = this.waves.map(part => new Float64Array(part.length));
    this.square = this.waves.map(part => new Float64Array(part.length));
  }

  /* The picture: waves -> colors along their principal axes -> limited contrast -> (0, 1). Keeps what the way back needs. */
  picture() {
    const { side, half } = this, area = side ** 2, latent = [];
    for (let color = 0; color < 3; color++) {
      const real = new Float64Array(area), imaginary = new Float64Array(area);
      for (let row = 0; row < side; row++) for (let column = 0; column < half; column++) {
        const from = (color * side + row) * half + column, scale = this.scale[row * half + column];
        real[row * side + column] = scale * this.waves[0][from];
        imaginary[row * side + column] = scale * this.waves[1][from];
      }
      sumWavesOfPlane(real, imaginary, side, 1);
      latent.push(real);
    }
    const longest = Math.hypot(...RECIPE.colors.map(row => row[0])), matrix = RECIPE.colors.map(row => row.map(value => value / longest));
    const colors = matrix.map(row => Float64Array.from({ length: area }, (_, n) => row[0] * latent[0][n] + row[1] * latent[1][n] + row[2] * latent[2][n]));
    const square = colors.reduce((sum, plane) => plane.reduce((all, value) => all + value * value, sum), 0) / (3 * area);
    const shrink = 1 / Math.sqrt(1 + square / RECIPE.contrast ** 2), pixels = new Float32Array(3 * area);
    colors.forEach((plane, color) => plane.forEach((value, n) => { pixels[color * area + n] = 1 / (1 + Math.exp(-value * shrink)); }));
    return { pixels, colors, shrink, matrix };
  }

  /* The gradient of the pixels, brought back to the waves. */
  back({ pixels, colors, shrink, matrix }, gradient) {
    const { side, half } = this, area = side ** 2;
    const slopes = colors.map((_, color) => Float64Array.from({ length: area }, (_, n) => { const p = pixels[color * area + n]; return gradient[color * area + n] * p * (1 - p); }));
    const along = colors.reduce((sum, plane, color) => plane.reduce((all, value, n) => all + value * slopes[color][n], sum), 0);
    const less = shrink ** 3 * along / (RECIPE.contrast ** 2 * 3 * area); // z / sqrt(1 + r^2 / c^2) also turns with r
    slopes.forEach((plane, color) => plane.forEach((value, n) => { plane[n] = shrink * value - less * colors[color][n]; }));
    const out = this.waves.map(part => new Float64Array(part.length));
    for (let axis = 0; axis < 3; axis++) {
      const real = Float64Array.from({ length: area }, (_, n) => matrix[0][axis] * slopes[0][n] + matrix[1][axis] * slopes[1][n] + matrix[2][axis] * slopes[2][n]);
      const imaginary = new Float64Array(area);
      sumWavesOfPlane(real, imaginary, side, -1);
      for (let row = 0; row < side; row++) for (let column = 0; column < half; column++) {
        const to = (axis * side + row) * half + column, scale = this.scale[row * half + column];
        out[0][to] = scale * real[row * side + column];
        out[1][to] = scale * imaginary[row * side + column];
      }
    }
    return out;
  }

  /* The mean of the channel over all places. */
  score(pixels) {
    this.network.show(pixels);
    this.network.forward(this.layer);
    const plane = this.network.plane(this.layer, this.channel);
    return plane.reduce((sum, value) => sum + value, 0) / plane.length;
  }

  /* The score of a picture, and its gradient in the pixels. */
  slope(pixels) {
    const score = this.score(pixels), area = this.side ** 2, gradient = new Float64Array(3 * area);
    const seed = this.network.plane(this.layer, this.channel, "gradient");
    this.network.backward(this.layer, () => seed.fill(1 / seed.length));
    this.network.plan.std.forEach((std, color) => this.network.plane("input", color, "gradient").forEach((value, n) => { gradient[color * area + n] = value / std; }));
    return { score, gradient };
  }

  warp() {
    const draw = () => 2 * this.random.uniform() - 1, [low, high] = RECIPE.scale.map(Math.log);
    const degrees = RECIPE.rotate * draw(), factor = Math.exp((low + high) / 2 + (high - low) / 2 * draw());
    return warping(this.side, degrees, factor, RECIPE.shift * draw(), RECIPE.shift * draw());
  }

  /* One step upwards, of Adam (Kingma and Ba, 2015); returns the score that the turned picture had. */
  step() {
    if (this.side < this.last && this.done >= this.steps - Math.floor(this.steps / 2)) this.begin(this.last);
    const made = this.picture(), area = this.side ** 2, warp = this.transforms ? this.warp() : null;
    let seen = made.pixels;
    if (warp) {
      seen = new Float32Array(3 * area);
      for (let n = 0; n < seen.length; n++) for (let j = 4 * (n % area), end = j + 4, base = n - n % area; j < end; j++) seen[n] += warp.weights[j] * made.pixels[base + warp.places[j]];
    }
    const { score, gradient } = this.slope(seen);
    let pulled = gradient;
    if (warp) {
      pulled = new Float64Array(3 * area);
      for (let n = 0; n < gradient.length; n++) for (let j = 4 * (n % area), end = j + 4, base = n - n % area; j < end; j++) pulled[base + warp.places[j]] += warp.weights[j] * gradient[n];
    }
    const [first, second] = RECIPE.betas, rate = RECIPE.rate / (1 - first ** ++this.age);
    this.back(made, pulled).forEach((part, kind) => part.forEach((value, n) => {
      const mean = this.mean[kind][n] += (1 - first) * (value - this.mean[kind][n]), square = this.square[kind][n] = second * this.square[kind][n] + (1 - second) * value * value;
      this.waves[kind][n] += rate * mean / (Math.sqrt(square / (1 - second ** this.age)) + 1e-8);
    }));
    this.done++;
    return score;
  }
}

if (typeof module !== "undefined") module.exports = { Ascent, RECIPE, warping };
