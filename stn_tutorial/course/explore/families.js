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

  /** The corners of an output in normalized coordinates, clockwise from the upper left. */
  stn.corners = [
    [-1, -1],
    [1, -1],
    [1, 1],
    [-1, 1],
  ];

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

  const distance = ([a, b], [c, d]) => (a - c) ** 2 + (b - d) ** 2;

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
   * Solve a system with more equations than unknowns so that the squares of what is
   * missing add up to least; `right` has several columns. The unknowns' columns are made
   * perpendicular, one after the other.
   */
  const leastSquares = (system, right) => {
    const columns = system[0].map((_, k) => system.map((row) => row[k]));
    const sides = right[0].map((_, k) => right.map((row) => row[k]));
    const n = columns.length;
    const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
    const triangle = columns.map(() => new Array(n).fill(0));
    const known = columns.map(() => sides.map(() => 0));
    columns.forEach((column, k) => {
      const length = Math.sqrt(dot(column, column));
      const unit = column.map((value) => value / length);
      const without = (other) => {
        const along = dot(unit, other);
        for (let i = 0; i < unit.length; i++) other[i] -= along * unit[i];
        return along;
      };
      triangle[k][k] = length;
      for (let j = k + 1; j < n; j++) triangle[k][j] = without(columns[j]);
      sides.forEach((side, j) => (known[k][j] = without(side)));
    });
    for (let k = n - 1; k >= 0; k--) {
      for (let j = 0; j < sides.length; j++) {
        for (let i = k + 1; i < n; i++) known[k][j] -= triangle[k][i] * known[i][j];
        known[k][j] /= triangle[k][k];
      }
    }
    return known;
  };

  /**
   * Thin plate splines on a lattice of control points, from corner to corner.
   * @param {[number, number]} size rows and columns of the lattice
   * @param {number} [stiffness] 0 passes through every control point
   * @returns {Family & {points: [number, number][],
   *   shares: (x: number, y: number) => number[],
   *   coefficients: (params: number[]) => number[]}} parameters are the offsets of the
   *   control points, x and y of each; `shares` says how much of each of them a point
   *   moves by, `coefficients` what each term of the basis is multiplied with
   */
  stn.thinPlateSpline = ([rows, columns], stiffness = 0) => {
    const along = (k, n) => (n > 1 ? (2 * k) / (n - 1) - 1 : 0);
    const points = [];
    for (let j = 0; j < rows; j++) {
      for (let i = 0; i < columns; i++) points.push([along(i, columns), along(j, rows)]);
    }
    const n = points.length;
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
    const basis = stn.splineBasis(points);
    const shares = (x, y) => {
      const terms = basis(x, y);
      const found = new Array(n).fill(0);
      for (let k = 0; k < terms.length; k++) {
        for (let i = 0; i < n; i++) found[i] += terms[k] * weights[k][i];
      }
      return found;
    };
    return {
      points,
      shares,
      identity: new Array(2 * n).fill(0),
      coefficients: (params) =>
        weights.flatMap((row) =>
          [0, 1].map((axis) =>
            row.reduce((sum, weight, i) => sum + weight * params[2 * i + axis], 0),
          ),
        ),
      at: (params, x, y) => {
        const moved = [x, y];
        shares(x, y).forEach((share, i) => {
          moved[0] += share * params[2 * i];
          moved[1] += share * params[2 * i + 1];
        });
        return /** @type {[number, number]} */ (moved);
      },
    };
  };

  /** What a spline is a sum of: a bump at each control point, and a plane. */
  stn.splineBasis = (points) => (x, y) => [
    ...points.map((p) => phi(distance(p, [x, y]))),
    ...[1, x, y],
  ];

  /**
   * Splines on one lattice at points that are known beforehand. What depends on the
   * points is computed once, and a warp of all of them is then a product.
   * @param {[number, number][]} lattice the splines' control points
   * @param {number[][]} points
   * @returns {(spline: ReturnType<typeof stn.thinPlateSpline>, params: number[]) =>
   *   Float32Array} x and y of each point, warped
   */
  stn.splinesAt = (lattice, points) => {
    const basis = stn.splineBasis(lattice);
    const n = lattice.length + 3;
    const terms = new Float64Array(points.length * n);
    points.forEach(([x, y], k) => terms.set(basis(x, y), k * n));
    return (spline, params) => {
      const coefficients = spline.coefficients(params);
      const moved = new Float32Array(2 * points.length);
      for (let k = 0; k < points.length; k++) {
        let [x, y] = points[k];
        for (let i = 0; i < n; i++) {
          x += terms[k * n + i] * coefficients[2 * i];
          y += terms[k * n + i] * coefficients[2 * i + 1];
        }
        moved[2 * k] = x;
        moved[2 * k + 1] = y;
      }
      return moved;
    };
  };

  /**
   * The parameters of a family whose warp takes points nearest to their targets: what
   * `stn_tutorial.families.fit` returns. (A projective warp is multiplied with its
   * divisor, which weighs the distances.)
   * @param {Family & {matrix?: (params: number[]) => number[],
   *   shares?: (x: number, y: number) => number[]}} family
   * @param {number[][]} points
   * @param {number[][]} targets
   */
  stn.fit = (family, points, targets) => {
    if (family.shares) {
      const offsets = points.map(([x, y], k) => [targets[k][0] - x, targets[k][1] - y]);
      return leastSquares(
        points.map(([x, y]) => family.shares(x, y)),
        offsets,
      ).flat();
    }
    // The matrix is one without parameters, and a part for each of them.
    const zeros = family.identity.map(() => 0);
    const constant = family.matrix(zeros);
    const parts = zeros.map((_, k) => {
      const unit = family.matrix(zeros.map((_, i) => (i === k ? 1 : 0)));
      return unit.map((entry, i) => entry - constant[i]);
    });
    const rows = [];
    const right = [];
    points.forEach(([x, y], k) => {
      for (const axis of [0, 1]) {
        // A row of the matrix, less the target times the last row.
        const miss = (m) =>
          m[3 * axis] * x +
          m[3 * axis + 1] * y +
          m[3 * axis + 2] -
          targets[k][axis] * (m[6] * x + m[7] * y + m[8]);
        rows.push(parts.map(miss));
        right.push([-miss(constant)]);
      }
    });
    return leastSquares(rows, right).flat();
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
