// Read an image at sampling points: the sampler of the book, for figures that answer to
// the hand. It computes what stn_tutorial.sample computes; a test compares the two.
//
// A classic script: it adds to the one global `stn`, so that a page needs no module
// loader and works from disk.

/**
 * One channel of an image, row by row.
 * @typedef {{width: number, height: number, pixels: Float32Array | number[]}} Picture
 */

/**
 * How to read: what lies between the pixels, what lies outside of them, and whether ±1
 * are the edges of the image (false) or the centres of its corner pixels (true).
 * @typedef {{
 *   interpolation?: "nearest" | "bilinear" | "bicubic",
 *   padding?: "zeros" | "border" | "reflection",
 *   fill?: number,
 *   alignCorners?: boolean,
 * }} Reading
 */

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /**
   * From a normalized coordinate to a pixel coordinate.
   * @param {number} x from -1 to 1 over the image
   * @param {number} n how many pixels the image is wide, or high
   * @param {boolean} alignCorners whether ±1 are the centres of the corner pixels
   */
  stn.toPixel = (x, n, alignCorners) =>
    alignCorners ? ((x + 1) * (n - 1)) / 2 : ((x + 1) * n - 1) / 2;

  /**
   * From a pixel coordinate to a normalized coordinate.
   * @param {number} x 0 is the centre of the first pixel
   * @param {number} n how many pixels the image is wide, or high
   * @param {boolean} alignCorners whether ±1 are the centres of the corner pixels
   */
  stn.toNormalized = (x, n, alignCorners) =>
    alignCorners ? (n > 1 ? (2 * x) / (n - 1) - 1 : 0) : (2 * x + 1) / n - 1;

  /** A triangle wave: forward over the image, then backward, repeated. */
  const mirrored = (x, n, alignCorners) => {
    const start = alignCorners ? 0 : -0.5;
    const length = n - 1 - 2 * start;
    if (length === 0) return 0;
    const along = Math.abs(x - start) % (2 * length);
    return start + length - Math.abs(along - length);
  };

  /**
   * Where a point, or a pixel, outside of the image is read instead; one that is inside
   * stays, and with zeros every one does.
   * @param {number} x a pixel coordinate
   * @param {number} n how many pixels the image is wide, or high
   * @param {string} padding
   * @param {boolean} [alignCorners]
   */
  stn.moved = (x, n, padding, alignCorners = false) => {
    if (padding === "reflection") x = mirrored(x, n, alignCorners);
    if (padding !== "zeros") x = Math.min(Math.max(x, 0), n - 1);
    return x;
  };

  /** The value of a pixel; outside of the image, what the padding says. */
  const pixel = (image, column, row, padding, alignCorners) => {
    if (padding !== "zeros") {
      column = stn.moved(column, image.width, padding, alignCorners);
      row = stn.moved(row, image.height, padding, alignCorners);
    }
    const inside = column >= 0 && column < image.width && row >= 0 && row < image.height;
    return inside ? image.pixels[row * image.width + column] : null;
  };

  /** Round to the nearest integer, halves to the even one, as PyTorch does. */
  const roundHalfToEven = (x) => {
    const near = Math.round(x);
    return Math.abs(x % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
  };

  /**
   * The pixels that a location is read from along one axis, with their weights.
   * @param {number} x a pixel coordinate
   * @param {string} interpolation
   * @returns {[number, number][]} pairs of a pixel and its weight
   */
  stn.weights = (x, interpolation) => {
    if (interpolation === "nearest") return [[roundHalfToEven(x), 1]];
    const first = Math.floor(x);
    const t = x - first;
    if (interpolation === "bilinear")
      return [
        [first, 1 - t],
        [first + 1, t],
      ];
    const a = -0.75; // the kernel of Keys (1981), with PyTorch's parameter
    const near = (d) => ((a + 2) * d - (a + 3)) * d * d + 1;
    const far = (d) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    return [
      [first - 1, far(t + 1)],
      [first, near(t)],
      [first + 1, near(1 - t)],
      [first + 2, far(2 - t)],
    ];
  };

  /**
   * Read an image at one point.
   * @param {Picture} image
   * @param {number} x normalized, from left to right
   * @param {number} y normalized, from top to bottom
   * @param {Reading} [reading]
   * @returns {number}
   */
  stn.readAt = (image, x, y, reading = {}) => {
    const { interpolation = "bilinear", padding = "zeros" } = reading;
    const { fill = 0, alignCorners = false } = reading;
    if (!Number.isFinite(x) || !Number.isFinite(y)) return fill;
    let column = stn.toPixel(x, image.width, alignCorners);
    let row = stn.toPixel(y, image.height, alignCorners);
    if (interpolation !== "bicubic") {
      // The cubic kernel reads neighbours beyond the edge, so its pixels are moved
      // and not the point.
      column = stn.moved(column, image.width, padding, alignCorners);
      row = stn.moved(row, image.height, padding, alignCorners);
    }
    let sum = 0;
    for (const [j, down] of stn.weights(row, interpolation)) {
      for (const [i, across] of stn.weights(column, interpolation)) {
        if (across === 0 || down === 0) continue;
        const value = pixel(image, i, j, padding, alignCorners);
        sum += across * down * (value === null ? fill : value);
      }
    }
    return sum;
  };

  /**
   * Read an image at every point of a grid.
   * @param {Picture} image
   * @param {Float32Array | number[]} grid x and y of each output pixel, row by row
   * @param {[number, number]} size height and width of the output
   * @param {Reading} [reading]
   * @returns {Picture}
   */
  stn.sample = (image, grid, [height, width], reading = {}) => {
    const pixels = new Float32Array(height * width);
    const { interpolation = "bilinear", padding = "zeros", fill = 0 } = reading;
    const quick = interpolation === "bilinear" && padding === "zeros" && fill === 0;
    const read = quick ? bilinear : stn.readAt;
    for (let k = 0; k < pixels.length; k++) {
      pixels[k] = read(image, grid[2 * k], grid[2 * k + 1], reading);
    }
    return { width, height, pixels };
  };

  /** What `readAt` returns for the commonest reading, without making any lists. */
  const bilinear = ({ width, height, pixels }, x, y, { alignCorners = false }) => {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return 0;
    const column = stn.toPixel(x, width, alignCorners);
    const row = stn.toPixel(y, height, alignCorners);
    const i = Math.floor(column);
    const j = Math.floor(row);
    const right = column - i;
    const down = row - j;
    let sum = 0;
    if (j >= 0 && j < height) {
      if (i >= 0 && i < width) sum += (1 - right) * (1 - down) * pixels[j * width + i];
      if (i >= -1 && i < width - 1) sum += right * (1 - down) * pixels[j * width + i + 1];
    }
    if (j >= -1 && j < height - 1) {
      const below = (j + 1) * width;
      if (i >= 0 && i < width) sum += (1 - right) * down * pixels[below + i];
      if (i >= -1 && i < width - 1) sum += right * down * pixels[below + i + 1];
    }
    return sum;
  };

  /**
   * Read an image bilinearly at a point given in pixels, with the slopes of the reading;
   * on a kink, those on the right and below.
   * @param {Picture} image
   * @param {number} x
   * @param {number} y
   * @param {"zeros" | "border"} [padding]
   * @returns {[value: number, slopeX: number, slopeY: number]} slopes for each pixel
   */
  stn.slopesAt = ({ width, height, pixels }, x, y, padding = "zeros") => {
    const i = Math.floor(x);
    const j = Math.floor(y);
    const a = x - i;
    const b = y - j;
    const nearest = (k, n) => (k < 0 ? 0 : k < n ? k : n - 1);
    const at = (column, row) => {
      const inX = nearest(column, width);
      const inY = nearest(row, height);
      const outside = inX !== column || inY !== row;
      return outside && padding === "zeros" ? 0 : pixels[inY * width + inX];
    };
    const [nw, ne, sw, se] = [at(i, j), at(i + 1, j), at(i, j + 1), at(i + 1, j + 1)];
    const top = (1 - a) * nw + a * ne;
    const bottom = (1 - a) * sw + a * se;
    // Beyond the border, and on it, a coordinate is moved, and passes nothing on.
    const free = (k, n) => padding === "zeros" || (k > 0 && k < n - 1);
    const across = free(x, width) ? (1 - b) * (ne - nw) + b * (se - sw) : 0;
    const down = free(y, height) ? bottom - top : 0;
    return [(1 - b) * top + b * bottom, across, down];
  };
})();
