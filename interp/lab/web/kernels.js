// The same arithmetic as kernels.ts in plain JavaScript, to the last bit (Math.fround rounds to 32 bits): for browsers
// without WebAssembly, and as the check of the other.
"use strict";

const plainKernels = numbers => {
  const { fround, min, max } = Math, limited = (value, low, high) => min(max(value, low), high);

  return {
    product(weights, down, across, bias, planes, out, rows, columns, size, low, high) {
      const sums = new Float32Array(size);
      for (let row = 0; row < rows; row++) {
        const at = out + row * size;
        if (bias) sums.fill(numbers[bias + row]); else sums.set(numbers.subarray(at, at + size));
        for (let column = 0; column < columns; column++) {
          const weight = numbers[weights + row * down + column * across], from = planes + column * size;
          for (let pixel = 0; pixel < size; pixel++) sums[pixel] = sums[pixel] + fround(weight * numbers[from + pixel]);
        }
        for (let pixel = 0; pixel < size; pixel++) numbers[at + pixel] = limited(sums[pixel], low, high);
      }
    },

    lay(plane, height, width, frame, tall, wide, inset, apart) {
      numbers.fill(0, frame, frame + tall * wide);
      for (let row = 0; row < height; row++) for (let column = 0; column < width; column++)
        numbers[frame + (inset + row * apart) * wide + inset + column * apart] = numbers[plane + row * width + column];
    },

    filter(frame, wide, kernel, way, side, stride, bias, out, height, width, low, high) {
      for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
        const at = out + row * width + column;
        let sum = numbers[bias || at], weight = kernel;
        for (let y = 0; y < side; y++) {
          const from = frame + (row * stride + y) * wide + column * stride;
          for (let x = 0; x < side; x++, weight += way) sum = fround(sum + fround(numbers[weight] * numbers[from + x]));
        }
        numbers[at] = limited(sum, low, high);
      }
    },

    increase(to, from, factor, count) {
      for (let n = 0; n < count; n++) numbers[to + n] += fround(fround(factor) * numbers[from + n]);
    },

    gate(gradient, output, count, low, high) {
      for (let n = 0; n < count; n++) if (!(numbers[output + n] > low && numbers[output + n] < high)) numbers[gradient + n] = 0;
    },

    move(from, fromRow, fromColumn, to, toRow, toColumn, height, width, onto) {
      for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
        const value = numbers[from + row * fromRow + column * fromColumn], at = to + row * toRow + column * toColumn;
        numbers[at] = onto ? numbers[at] + value : value;
      }
    },
  };
};

if (typeof module !== "undefined") module.exports = { plainKernels };
