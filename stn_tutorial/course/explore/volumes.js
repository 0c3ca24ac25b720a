// Rotate in space, and read a volume between its voxels: what the package computes in
// three dimensions, for figures that answer to the hand. A test compares the two.
// Matrices are nine numbers, row by row; points are [x, y, z].

/**
 * One channel of a volume: layer by layer, each row by row.
 * @typedef {{width: number, height: number, depth: number, voxels: Float32Array}} Volume
 */

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  const cross = ([a, b, c], [d, e, f]) => [b * f - c * e, c * d - a * f, a * e - b * d];
  const dot = (p, q) => p.reduce((sum, value, k) => sum + value * q[k], 0);

  const times = (first, second) =>
    first.map((_, k) => {
      const [row, column] = [3 * Math.floor(k / 3), k % 3];
      return [0, 1, 2].reduce((s, n) => s + first[row + n] * second[3 * n + column], 0);
    });

  /** The matrix of a rotation vector: Rodrigues' formula, with its limit at zero. */
  const exponential = ([x, y, z]) => {
    const angle = Math.hypot(x, y, z);
    const first = angle > 1e-6 ? Math.sin(angle) / angle : 1;
    const second = angle > 1e-6 ? (1 - Math.cos(angle)) / angle ** 2 : 0.5;
    const k = [0, -z, y, z, 0, -x, -y, x, 0];
    const squared = times(k, k);
    return k.map((value, n) => Number(n % 4 === 0) + first * value + second * squared[n]);
  };

  stn.space = {
    cross,
    dot,
    times,
    exponential,

    transposed: (m) => m.map((_, k) => m[3 * (k % 3) + Math.floor(k / 3)]),

    /** The column of a matrix: where it takes an axis. */
    column: (m, k) => [m[k], m[k + 3], m[k + 6]],

    apply: (m, point) => [0, 3, 6].map((row) => dot(m.slice(row, row + 3), point)),

    /** The shortest rotation that takes one unit vector to another. */
    between: (from, to) => {
      const axis = cross(from, to);
      const sine = Math.hypot(...axis);
      const angle = Math.atan2(sine, dot(from, to));
      return exponential(axis.map((value) => (sine ? (value * angle) / sine : 0)));
    },

    /** The matrix of three angles: roll about x, then pitch about y, then yaw about z. */
    fromAngles: ([roll, pitch, yaw]) =>
      times(
        exponential([0, 0, yaw]),
        times(exponential([0, pitch, 0]), exponential([roll, 0, 0])),
      ),

    /**
     * The three angles of a matrix; where they lock, the roll is the one that is given.
     * @param {number[]} m
     * @param {number} roll
     */
    toAngles: (m, roll = 0) => {
      const cosine = Math.hypot(m[0], m[3]);
      const pitch = Math.atan2(-m[6], cosine);
      if (cosine > 1e-6) return [Math.atan2(m[7], m[8]), pitch, Math.atan2(m[3], m[0])];
      // Roll and yaw rotate about one axis: only their sum, or difference, is known.
      const both = Math.atan2(-m[1], m[4]);
      return [roll, pitch, both + Math.sign(pitch) * roll];
    },

    /** The rotation vector of a matrix, at most half a rotation long. */
    toVector: (m) => {
      const twice = [m[7] - m[5], m[2] - m[6], m[3] - m[1]]; // the axis, by 2 sin(angle)
      const [sine, cosine] = [Math.hypot(...twice) / 2, (m[0] + m[4] + m[8] - 1) / 2];
      const angle = Math.atan2(sine, cosine);
      if (sine > 1e-4) return twice.map((value) => (value * angle) / (2 * sine));
      if (cosine > 0) return twice.map((value) => value / 2);
      // Half a rotation: (M + I) / 2 is the axis times itself.
      const most = [0, 1, 2].reduce((n, k) => (m[4 * k] > m[4 * n] ? k : n), 0);
      const axis = [0, 1, 2].map((k) => m[3 * k + most] + (k === most ? 1 : 0));
      const length = Math.hypot(...axis);
      return axis.map((value) => (value * angle) / length);
    },
  };

  /**
   * A volume that came as base64, layer below layer.
   * @param {{width: number, height: number, bytes: string}} packed
   * @param {number} depth how many layers
   * @returns {Volume}
   */
  stn.unpackVolume = (packed, depth) => {
    const { width, height, pixels } = stn.unpack(packed);
    return { width, height: height / depth, depth, voxels: pixels };
  };

  /**
   * Read a volume trilinearly at one point; outside, it is zero.
   * @param {Volume} volume
   * @param {number} x normalized, from left to right: ±1 are the edges
   * @param {number} y from top to bottom
   * @param {number} z from the first layer to the last
   */
  stn.readVolumeAt = ({ width, height, depth, voxels }, x, y, z) => {
    const across = stn.toPixel(x, width, false);
    const down = stn.toPixel(y, height, false);
    const deep = stn.toPixel(z, depth, false);
    const [left, top, front] = [Math.floor(across), Math.floor(down), Math.floor(deep)];
    const [a, b, c] = [across - left, down - top, deep - front];
    let sum = 0;
    for (let k = 0; k < 2; k++) {
      if (front + k < 0 || front + k >= depth) continue;
      for (let j = 0; j < 2; j++) {
        if (top + j < 0 || top + j >= height) continue;
        const row = ((front + k) * height + top + j) * width + left;
        const weight = (k ? c : 1 - c) * (j ? b : 1 - b);
        if (left >= 0 && left < width) sum += weight * (1 - a) * voxels[row];
        if (left >= -1 && left < width - 1) sum += weight * a * voxels[row + 1];
      }
    }
    return sum;
  };

  /**
   * Read a volume where an affine warp takes some points.
   * @param {Volume} volume
   * @param {number[]} theta 3×4, row by row: from output to input
   * @param {ArrayLike<number>} points x, y and z of each, normalized
   * @returns {Float32Array}
   */
  stn.warpVolume = (volume, theta, points) => {
    const [a, b, c, d, e, f, g, h, i, j, k, l] = theta;
    const values = new Float32Array(points.length / 3);
    for (let n = 0; n < values.length; n++) {
      const [x, y, z] = [points[3 * n], points[3 * n + 1], points[3 * n + 2]];
      values[n] = stn.readVolumeAt(
        volume,
        a * x + b * y + c * z + d,
        e * x + f * y + g * z + h,
        i * x + j * y + k * z + l,
      );
    }
    return values;
  };

  /**
   * The points of a base grid, normalized: x, y and z of each voxel's centre.
   * @param {[number, number, number]} size depth, height and width
   */
  stn.baseGrid3d = ([depth, height, width]) => {
    const points = new Float32Array(3 * depth * height * width);
    let n = 0;
    for (let k = 0; k < depth; k++) {
      for (let j = 0; j < height; j++) {
        for (let i = 0; i < width; i++) {
          points[n++] = stn.toNormalized(i, width, false);
          points[n++] = stn.toNormalized(j, height, false);
          points[n++] = stn.toNormalized(k, depth, false);
        }
      }
    }
    return points;
  };
})();
