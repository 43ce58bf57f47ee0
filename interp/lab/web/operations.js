// What networks do besides the steps in network.js: convolutions of any form, pooling, curves, gates, concatenation. Each has a
// way forward and a way back, and writes where network.js has put its values.
"use strict";

const MOST_ROOM = 2 ** 21; // numbers that a convolution lays out at once

/* y = f(x) and its slope, with the names that plan.py has for them. */
const CURVES = {
  limits: { value: (x, [low, high]) => Math.min(Math.max(x, low), high), slope: (x, [low, high]) => x > low && x < high ? 1 : 0 },
  sigmoid: { value: x => 1 / (1 + Math.exp(-x)), slope: x => { const s = 1 / (1 + Math.exp(-x)); return s * (1 - s); } },
  silu: { value: x => x / (1 + Math.exp(-x)), slope: x => { const s = 1 / (1 + Math.exp(-x)); return s * (1 + x * (1 - s)); } },
  hardsigmoid: { value: x => Math.min(Math.max(x + 3, 0), 6) / 6, slope: x => x > -3 && x < 3 ? 1 / 6 : 0 },
  hardswish: { value: x => x * Math.min(Math.max(x + 3, 0), 6) / 6, slope: x => x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1 },
};

/* For every place along one side: the pixels [first, end) that are pooled, and how many count. */
function windows(step, from, to, axis) {
  const length = axis ? "width" : "height", before = from[length], after = to[length];
  if (step.op === "areas") return Array.from({ length: after }, (_, n) => {
    const first = Math.floor(n * before / after), end = Math.ceil((n + 1) * before / after);
    return { first, end, count: end - first };
  });
  const kernel = pair(step.kernel)[axis], stride = pair(step.stride)[axis], margin = pair(step.padding, 0)[axis];
  return Array.from({ length: after }, (_, n) => {
    const start = n * stride - margin, first = Math.max(start, 0), end = Math.min(start + kernel, before);
    return { first, end, count: step.padded ? Math.min(start + kernel, before + margin) - start : end - first };
  });
}

const operations = {
  /* How many numbers a step lays out beside its values. */
  roomFor(step, from, to) {
    if (step.op === "depthwise") return (Math.max(from.side, to.side) + 3 * step.kernel) ** 2;
    return step.op === "conv" ? this.together(step, from, to) * this.taps(step) * to.size : 0;
  },

  /* ---- a convolution of any form: what its kernels meet becomes planes, and the rest is a product ---- */

  taps({ kernel }) { return pair(kernel)[0] * pair(kernel)[1]; },
  together(step, from, to) {
    const inside = from.channels / (step.groups ?? 1);
    return Math.max(1, Math.min(inside, Math.floor(MOST_ROOM / (this.taps(step) * to.size))));
  },

  conv(step, from, to, limits) {
    if (step.whole && (from.height !== pair(step.kernel)[0] || from.width !== pair(step.kernel)[1]))
      throw new Error(`${step.name} takes ${pair(step.kernel).join(" × ")} places, and an image of ${this.side} pixels a side has ${from.height} × ${from.width} there: this network takes images of ${this.plan.side} pixels.`);
    this.parts(step, from, to, ({ weights, first, some, all, group, rows, columns }) => {
      this.unfold(step, from, to, group * all + first, some);
      this.matrix(weights, all * this.taps(step), 1, first ? 0 : this.at(step.bias + group * rows), this.frame, to.value + group * rows * to.size,
        rows, columns, to.size, first + some === all ? limits : [-Infinity, Infinity]);
    });
  },
  convBack(step, from, to) {
    this.parts(step, from, to, ({ weights, first, some, all, group, rows, columns }) => {
      this.numbers.fill(0, this.frame, this.frame + columns * to.size);
      this.matrix(weights, 1, all * this.taps(step), 0, to.gradient + group * rows * to.size, this.frame, columns, rows, to.size, [-Infinity, Infinity]);
      this.unfold(step, from, to, group * all + first, some, true);
    });
  },

  /* The groups of a convolution, and of each as many channels at once as there is room for. */
  parts(step, from, to, each) {
    const groups = step.groups ?? 1, all = from.channels / groups, rows = to.channels / groups, taps = this.taps(step), most = this.together(step, from, to);
    for (let group = 0; group < groups; group++) for (let first = 0; first < all; first += most) {
      const some = Math.min(most, all - first);
      each({ weights: this.at(step.weights + (group * rows * all + first) * taps), first, some, all, group, rows, columns: some * taps });
    }
  },

  /* One plane for each channel and each weight of a kernel: what that weight meets at every place. Or the way back. */
  unfold(step, from, to, first, some, back = false) {
    const [tall, wide] = pair(step.kernel), stride = pair(step.stride), dilation = pair(step.dilation), margins = marginsOf(step, from, to);
    const met = (axis, tap, before, after) => { // the places whose pixel lies inside the image
      const start = tap * dilation[axis] - margins[axis], low = Math.max(0, Math.ceil(-start / stride[axis])), high = Math.min(after, Math.floor((before - 1 - start) / stride[axis]) + 1);
      return [low, Math.max(high - low, 0), start + low * stride[axis]];
    };
    for (let channel = 0, frame = this.frame; channel < some; channel++) for (let y = 0; y < tall; y++) for (let x = 0; x < wide; x++, frame += to.size) {
      const [row, rows, top] = met(0, y, from.height, to.height), [column, columns, left] = met(1, x, from.width, to.width);
      const pixel = (first + channel) * from.size + top * from.width + left, laid = frame + row * to.width + column;
      if (!back && (rows < to.height || columns < to.width)) this.numbers.fill(0, frame, frame + to.size);
      if (!rows || !columns) continue;
      if (back) this.kernels.move(laid, to.width, 1, from.gradient + pixel, stride[0] * from.width, stride[1], rows, columns, 1);
      else this.kernels.move(from.value + pixel, stride[0] * from.width, stride[1], laid, to.width, 1, rows, columns, 0);
    }
  },

  /* A product of any number of rows: by fours, and those that are left one column after the other. */
  matrix(weights, down, across, bias, planes, out, rows, columns, size, limits) {
    const most = rows - rows % 4;
    if (most) this.kernels.product(weights, down, across, bias, planes, out, most, columns, size, ...limits);
    for (let row = most; row < rows; row++) for (let column = 0; column < columns; column++)
      this.kernels.filter(planes + column * size, size, weights + row * down + column * across, 1, 1, 1, bias && !column ? bias + row : 0,
        out + row * size, 1, size, ...(column === columns - 1 ? limits : [-Infinity, Infinity]));
  },

  /* ---- number by number ---- */

  /* A factor and an offset for every channel: a batch norm that stands alone. */
  scale({ weights, bias }, from, to, limits) {
    for (let channel = 0; channel < to.channels; channel++)
      this.kernels.filter(from.value + channel * from.size, from.size, this.at(weights + channel), 1, 1, 1, this.at(bias + channel), to.value + channel * to.size, 1, from.size, ...limits);
  },
  scaleBack({ weights }, from, to) {
    for (let channel = 0; channel < to.channels; channel++)
      this.kernels.increase(from.gradient + channel * from.size, to.gradient + channel * to.size, this.numbers[this.at(weights + channel)], to.size);
  },

  curve({ kind, ends }, from, to) {
    const { value } = CURVES[kind], limits = limitsOf({ limits: ends }), { numbers } = this;
    for (let n = 0; n < to.count; n++) numbers[to.value + n] = value(numbers[from.value + n], limits);
  },
  curveBack({ kind, ends }, from, to) {
    const { slope } = CURVES[kind], limits = limitsOf({ limits: ends }), { numbers } = this;
    for (let n = 0; n < to.count; n++) numbers[from.gradient + n] += numbers[to.gradient + n] * slope(numbers[from.value + n], limits);
  },

  /* Two values number by number, or a value and one number for each of its channels. */
  multiply({ plus }, from, to) {
    const gate = this.tensor(plus), alike = gate.height === from.height && gate.width === from.width, { numbers } = this;
    for (let channel = 0, n = 0; channel < to.channels; channel++) for (let pixel = 0; pixel < to.size; pixel++, n++)
      numbers[to.value + n] = numbers[from.value + n] * numbers[gate.value + (alike ? n : channel * gate.size)];
  },
  multiplyBack({ plus }, from, to) {
    const gate = this.tensor(plus), alike = gate.height === from.height && gate.width === from.width, area = to.height * to.width, { numbers } = this;
    for (let channel = 0; channel < to.channels; channel++) for (let pixel = 0, sum = 0; pixel < area; pixel++) {
      const n = channel * to.size + pixel, other = alike ? n : channel * gate.size, slope = numbers[to.gradient + n];
      numbers[from.gradient + n] += slope * numbers[gate.value + other];
      sum += slope * numbers[from.value + n];
      if (alike) { numbers[gate.gradient + n] += sum; sum = 0; } else if (pixel === area - 1) numbers[gate.gradient + other] += sum;
    }
  },

  /* ---- channels and places ---- */

  /* Channels behind channels. */
  join(step, from, to) {
    for (let at = to.value, all = [step.from, ...step.more], n = 0; n < all.length; n++) {
      const one = this.tensor(all[n]);
      this.numbers.copyWithin(at, one.value, one.value + one.count);
      at += one.count;
    }
  },
  joinBack(step, from, to) {
    for (let at = to.gradient, all = [step.from, ...step.more], n = 0; n < all.length; n++) {
      const one = this.tensor(all[n]);
      this.kernels.increase(one.gradient, at, 1, one.count);
      at += one.count;
    }
  },

  /* Zeros around the image: left, right, above, below. */
  shift({ edges: [left,, above] }, from, to, back = false) {
    for (let channel = 0; channel < to.channels; channel++) {
      const inner = channel * from.size, outer = channel * to.size + above * to.width + left;
      if (back) this.kernels.move(to.gradient + outer, to.width, 1, from.gradient + inner, from.width, 1, from.height, from.width, 1);
      else this.kernels.move(from.value + inner, from.width, 1, to.value + outer, to.width, 1, from.height, from.width, 0);
    }
  },
  zeros(step, from, to) { this.numbers.fill(0, to.value, to.value + to.count); this.shift(step, from, to); },
  zerosBack(step, from, to) { this.shift(step, from, to, true); },

  /* Every window of every channel: each(its own pixels, the place in the output, how many count). */
  pool(step, from, to, each) {
    const rows = windows(step, from, to, 0), columns = windows(step, from, to, 1);
    for (let channel = 0; channel < to.channels; channel++) rows.forEach((row, y) => columns.forEach((column, x) =>
      each(channel * from.size, row, column, channel * to.size + y * to.width + x, row.count * column.count)));
  },

  /* The largest of each window; its gradient goes to the first that is as large. */
  largest(from, plane, row, column) {
    let best = plane + row.first * from.width + column.first;
    for (let y = row.first; y < row.end; y++) for (let x = column.first; x < column.end; x++) {
      const at = plane + y * from.width + x;
      if (this.numbers[from.value + at] > this.numbers[from.value + best]) best = at;
    }
    return best;
  },
  most(step, from, to) {
    this.pool(step, from, to, (plane, row, column, out) => { this.numbers[to.value + out] = this.numbers[from.value + this.largest(from, plane, row, column)]; });
  },
  mostBack(step, from, to) {
    this.pool(step, from, to, (plane, row, column, out) => { this.numbers[from.gradient + this.largest(from, plane, row, column)] += this.numbers[to.gradient + out]; });
  },

  /* The mean of each window. */
  average(step, from, to) {
    this.pool(step, from, to, (plane, row, column, out, count) => {
      let sum = 0;
      for (let y = row.first; y < row.end; y++) for (let x = column.first; x < column.end; x++) sum += this.numbers[from.value + plane + y * from.width + x];
      this.numbers[to.value + out] = sum / count;
    });
  },
  averageBack(step, from, to) {
    this.pool(step, from, to, (plane, row, column, out, count) => {
      const share = this.numbers[to.gradient + out] / count;
      for (let y = row.first; y < row.end; y++) for (let x = column.first; x < column.end; x++) this.numbers[from.gradient + plane + y * from.width + x] += share;
    });
  },
  areas(step, from, to) { this.average(step, from, to); },
  areasBack(step, from, to) { this.averageBack(step, from, to); },
};

Object.assign(Network.prototype, operations);
