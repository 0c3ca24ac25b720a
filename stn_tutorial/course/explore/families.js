// Families of warps: from a few parameters to a sampling grid. They compute what the
// families of stn_tutorial compute; a test compares them. Needs sampling.js.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /**
   * A family of warps.
   * @typedef {{
   *   identity: number[],
   *   at: (params: number[], x: number, y: number) => [number, number],
   * }} Family
   */

  /** A point through a 3×3 matrix, row by row; infinite on or behind the horizon. */
  const through = (m, x, y) => {
    const below = m[6] * x + m[7] * y + m[8];
    if (!(below > 1e-6)) return [Infinity, Infinity];
    return [(m[0] * x + m[1] * y + m[2]) / below, (m[3] * x + m[4] * y + m[5]) / below];
  };

  /**
   * A family of matrices.
   * @param {number[]} identity
   * @param {(params: number[]) => number[]} matrix the nine entries, row by row
   * @returns {Family & {matrix: (params: number[]) => number[]}}
   */
  const matrixFamily = (identity, matrix) => ({
    identity,
    matrix,
    at: (params, x, y) => through(matrix(params), x, y),
  });

  stn.translation = matrixFamily([0, 0], ([x, y]) => [1, 0, x, 0, 1, y, 0, 0, 1]);
  stn.attention = matrixFamily([1, 0, 0], ([s, x, y]) => [
    ...[s, 0, x],
    ...[0, s, y],
    ...[0, 0, 1],
  ]);
  stn.affine = matrixFamily([1, 0, 0, 0, 1, 0], (params) => [...params, 0, 0, 1]);
  stn.projective = matrixFamily([1, 0, 0, 0, 1, 0, 0, 0], (params) => [...params, 1]);

  /**
   * Similarities of images of a shape: a rotation, one scale and a shift.
   * @param {number} aspect the images' width over their height
   */
  stn.similarity = (aspect) =>
    matrixFamily([1, 0, 0, 0], ([a, b, x, y]) => [
      ...[a, -b / aspect, x / aspect],
      ...[b * aspect, a, y],
      ...[0, 0, 1],
    ]);

  /** r² log r², of a squared distance. */
  const phi = (squared) => (squared > 0 ? squared * Math.log(squared) : 0);

  /** Solve a system of linear equations by elimination; `right` has several columns. */
  const solve = (system, right) => {
    const rows = system.map((row, k) => [...row, ...right[k]]);
    const n = system.length;
    for (let k = 0; k < n; k++) {
      let pivot = k;
      for (let i = k + 1; i < n; i++) {
        if (Math.abs(rows[i][k]) > Math.abs(rows[pivot][k])) pivot = i;
      }
      [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
      for (let i = 0; i < n; i++) {
        if (i === k) continue;
        const factor = rows[i][k] / rows[k][k];
        for (let j = k; j < rows[k].length; j++) rows[i][j] -= factor * rows[k][j];
      }
    }
    return rows.map((row, k) => row.slice(n).map((value) => value / row[k]));
  };

  /**
   * Thin plate splines on a lattice of control points, from corner to corner.
   * @param {[number, number]} size rows and columns of the lattice
   * @param {number} [stiffness] 0 passes through every control point
   * @returns {Family & {points: [number, number][]}} parameters are the offsets of the
   *   control points, x and y of each
   */
  stn.thinPlateSpline = ([rows, columns], stiffness = 0) => {
    const along = (k, n) => (n > 1 ? (2 * k) / (n - 1) - 1 : 0);
    const points = [];
    for (let j = 0; j < rows; j++) {
      for (let i = 0; i < columns; i++) points.push([along(i, columns), along(j, rows)]);
    }
    const n = points.length;
    const distance = ([a, b], [c, d]) => (a - c) ** 2 + (b - d) ** 2;
    // The bending of each control point, and a plane; what bends has no plane in it.
    const system = points.map((p, k) => [
      ...points.map((q, i) => phi(distance(p, q)) + (i === k ? stiffness : 0)),
      ...[1, ...p],
    ]);
    for (let k = 0; k < 3; k++) {
      system.push([...points.map((p) => [1, ...p][k]), 0, 0, 0]);
    }
    const unit = system.map((_, k) => points.map((_, i) => (i === k ? 1 : 0)));
    const weights = solve(system, unit);
    return {
      points,
      identity: new Array(2 * n).fill(0),
      at: (params, x, y) => {
        const bumps = points.map((p) => phi(distance(p, [x, y])));
        const basis = [...bumps, 1, x, y];
        const moved = [x, y];
        for (let i = 0; i < n; i++) {
          let share = 0;
          for (let k = 0; k < basis.length; k++) share += basis[k] * weights[k][i];
          moved[0] += share * params[2 * i];
          moved[1] += share * params[2 * i + 1];
        }
        return /** @type {[number, number]} */ (moved);
      },
    };
  };

  /**
   * The sampling grid of a warp: where each output pixel reads the input.
   * @param {Family} family
   * @param {number[]} params normalized output to normalized input
   * @param {[number, number]} size height and width of the output
   * @param {boolean} [alignCorners]
   * @returns {Float32Array} x and y of each output pixel, row by row
   */
  stn.grid = (family, params, [height, width], alignCorners = false) => {
    const grid = new Float32Array(2 * height * width);
    for (let j = 0, k = 0; j < height; j++) {
      const y = stn.toNormalized(j, height, alignCorners);
      for (let i = 0; i < width; i++) {
        const x = stn.toNormalized(i, width, alignCorners);
        [grid[k++], grid[k++]] = family.at(params, x, y);
      }
    }
    return grid;
  };
})();
