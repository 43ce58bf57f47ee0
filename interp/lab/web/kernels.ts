// The arithmetic of the network, in AssemblyScript: six loops over one array of numbers, eight pixels at a time.
// `npm run kernels` compiles it to kernels.wasm; kernels.js says the same in plain JavaScript.
//
// All addresses are indices into that array. A plane is one channel of an image, row after row, without a gap; behind it
// there is room up to the next multiple of 8, so that the last eight pixels may be written at once.

const LANES: i32 = 4; // numbers in one v128
const BLOCK: i32 = 8; // pixels at a time

@inline function read(place: usize): v128 { return v128.load(place << 2); }
@inline function write(place: usize, value: v128): void { v128.store(place << 2, value); }
@inline function number(place: usize): f32 { return load<f32>(place << 2); }
@inline function everywhere(place: usize): v128 { return v128.load32_splat(place << 2); }
@inline function add(a: v128, b: v128): v128 { return f32x4.add(a, b); }
@inline function times(a: v128, b: v128): v128 { return f32x4.mul(a, b); }
@inline function limited(value: v128, low: v128, high: v128): v128 { return f32x4.pmin(f32x4.pmax(value, low), high); }

/** A 1x1 convolution is a matrix product: out[row] = limit(start + sum over column of weight[row, column] * planes[column]).
 *  The start is the bias of the row, or what lies in `out` already where there is no bias (0). Rows go four at a time.
 *  The weights lie `down` apart from row to row and `across` from column to column, so that the same loop goes backward. */
export function product(weights: usize, down: usize, across: usize, bias: usize, planes: usize, out: usize,
                        rows: i32, columns: i32, size: usize, low: f32, high: f32): void {
  const least = f32x4.splat(low), most = f32x4.splat(high);
  for (let pixel: usize = 0; pixel < size; pixel += BLOCK) {
    for (let row = 0; row < rows; row += 4) {
      const at = out + <usize>row * size + pixel;
      let a0 = begin(bias, row, at), a1 = begin(bias, row, at + LANES);
      let b0 = begin(bias, row + 1, at + size), b1 = begin(bias, row + 1, at + size + LANES);
      let c0 = begin(bias, row + 2, at + 2 * size), c1 = begin(bias, row + 2, at + 2 * size + LANES);
      let d0 = begin(bias, row + 3, at + 3 * size), d1 = begin(bias, row + 3, at + 3 * size + LANES);
      let from = planes + pixel, weight = weights + <usize>row * down;
      for (let column = 0; column < columns; column++) {
        const left = read(from), right = read(from + LANES);
        const a = everywhere(weight), b = everywhere(weight + down);
        const c = everywhere(weight + 2 * down), d = everywhere(weight + 3 * down);
        a0 = add(a0, times(a, left)); a1 = add(a1, times(a, right));
        b0 = add(b0, times(b, left)); b1 = add(b1, times(b, right));
        c0 = add(c0, times(c, left)); c1 = add(c1, times(c, right));
        d0 = add(d0, times(d, left)); d1 = add(d1, times(d, right));
        from += size;
        weight += across;
      }
      write(at, limited(a0, least, most)); write(at + LANES, limited(a1, least, most));
      write(at + size, limited(b0, least, most)); write(at + size + LANES, limited(b1, least, most));
      write(at + 2 * size, limited(c0, least, most)); write(at + 2 * size + LANES, limited(c1, least, most));
      write(at + 3 * size, limited(d0, least, most)); write(at + 3 * size + LANES, limited(d1, least, most));
    }
  }
}

@inline function begin(bias: usize, row: i32, at: usize): v128 { return bias ? everywhere(bias + row) : read(at); }

/** Lays a plane into a frame of zeros, `wide` pixels wide and `tall` high: its first pixel comes to (inset, inset), the
 *  next ones `apart` pixels on. Convolutions read from frames, so that they need not ask where an image ends. */
export function lay(plane: usize, height: i32, width: i32, frame: usize, tall: i32, wide: i32, inset: i32, apart: i32): void {
  memory.fill(frame << 2, 0, <usize>(tall * wide) << 2);
  for (let row = 0; row < height; row++) {
    let to = frame + (inset + row * apart) * wide + inset, from = plane + row * width;
    if (apart == 1) memory.copy(to << 2, from << 2, <usize>width << 2);
    else for (let column = 0; column < width; column++, to += apart, from++) store<f32>(to << 2, number(from));
  }
}

/** Filters a frame with a kernel of `side` x `side` weights, read from `kernel` on in steps of `way`: 1, or -1 for the
 *  kernel turned around, which is the way back. The start is the bias or what lies in `out`, as above. */
export function filter(frame: usize, wide: i32, kernel: usize, way: i32, side: i32, stride: i32, bias: usize,
                       out: usize, height: i32, width: i32, low: f32, high: f32): void {
  const least = f32x4.splat(low), most = f32x4.splat(high);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column += BLOCK) {
      const at = out + row * width + column;
      let left = begin(bias, 0, at), right = begin(bias, 0, at + LANES), weight = kernel;
      for (let y = 0; y < side; y++) {
        let from = frame + (row * stride + y) * wide + column * stride;
        for (let x = 0; x < side; x++, from++, weight += way) {
          const one = everywhere(weight);
          left = add(left, times(one, taken(from, stride)));
          right = add(right, times(one, taken(from + LANES * stride, stride)));
        }
      }
      const rest = width - column; // what follows in the array belongs to the next row, and stays as it is
      write(at, v128.bitselect(limited(left, least, most), read(at), first(rest)));
      write(at + LANES, v128.bitselect(limited(right, least, most), read(at + LANES), first(rest - LANES)));
    }
  }
}

/** The lanes below a number. */
@inline function first(count: i32): v128 { return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count)); }

/** Four pixels, or every other one of eight. */
@inline function taken(from: usize, stride: i32): v128 {
  return stride == 1 ? read(from) : v128.shuffle<f32>(read(from), read(from + LANES), 0, 2, 4, 6);
}

/** to += factor * from; the sum of two branches, and of their gradients. */
export function increase(to: usize, from: usize, factor: f32, count: usize): void {
  const much = f32x4.splat(factor);
  for (let n: usize = 0; n < count; n += LANES) write(to + n, add(read(to + n), times(much, read(from + n))));
}

/** A limit such as that of ReLU6 lets gradient through where the output lies between its ends. */
export function gate(gradient: usize, output: usize, count: usize, low: f32, high: f32): void {
  const least = f32x4.splat(low), most = f32x4.splat(high);
  for (let n: usize = 0; n < count; n += LANES) {
    const value = read(output + n), open = v128.and(f32x4.gt(value, least), f32x4.lt(value, most));
    write(gradient + n, v128.and(read(gradient + n), open));
  }
}

/** Takes a rectangle of numbers to another one, instead of (0) or onto (1) what lies there. Each has its own distance from
 *  row to row and from column to column: what the weights of a convolution meet at every place, and the way back. */
export function move(from: usize, fromRow: usize, fromColumn: usize, to: usize, toRow: usize, toColumn: usize,
                     height: i32, width: i32, onto: i32): void {
  for (let row = 0; row < height; row++) {
    let a = from + <usize>row * fromRow, b = to + <usize>row * toRow, column = 0;
    if (fromColumn == 1 && toColumn == 1)
      for (; column <= width - LANES; column += LANES, a += LANES, b += LANES) write(b, onto ? add(read(b), read(a)) : read(a));
    for (; column < width; column++, a += fromColumn, b += toColumn) store<f32>(b << 2, onto ? number(b) + number(a) : number(a));
  }
}
