// The bench: six families of warps on one image. By hand, each is moved by its own
// handles; in a fit, all of them are fitted to the same noisy points.

(() => {
  const stn = globalThis.stn;
  const VIEW = [-1.5, -1.5, 1.5, 1.5]; // half an image's width around the image
  const CELLS = 24; // along a side of the lattice, where folds are looked for
  const EVERY = 3; // a line is drawn for every third row of it
  const SPLINE = "ThinPlateSpline";
  const [LOWEST, HIGHEST] = [0.1, 100]; // errors that the plot shows, in pixels
  const COLUMNS = ["stn-first", "stn-second", "stn-third"]; // a colour for each
  const CALLED = {
    Translation: "translation",
    Attention: "attention",
    Similarity: "similarity",
    Affine: "affine",
    Projective: "projective",
    ThinPlateSpline: "spline 4×4",
  };
  const KEEPS = {
    Translation: "A translation keeps lengths, angles, parallels and straight lines",
    Attention: "Attention keeps angles, parallels and straight lines",
    Similarity: "A similarity keeps angles, parallels and straight lines",
    Affine: "An affine warp keeps parallels and straight lines",
    Projective: "A projective warp keeps straight lines",
    ThinPlateSpline: "A spline keeps neighbours together, and bends lines",
  };

  const along = Array.from({ length: CELLS + 1 }, (_, k) => (2 * k) / CELLS - 1);
  const LATTICE = along.flatMap((y) => along.map((x) => [x, y]));
  const drawn = along.map((_, k) => k).filter((k) => k % EVERY === 0);
  /** Where on the lattice the lines run: rows, then columns; the first is the top edge. */
  const LINES = [
    ...drawn.map((j) => along.map((_, i) => j * (CELLS + 1) + i)),
    ...drawn.map((i) => along.map((_, j) => j * (CELLS + 1) + i)),
  ];

  /** The pixels of an output as points, row by row. */
  const pixels = ({ width, height }) =>
    Array.from({ length: width * height }, (_, k) => [
      stn.toNormalized(k % width, width, false),
      stn.toNormalized(Math.floor(k / width), height, false),
    ]);

  /** What takes all of some points through a warp: x and y of each, one by one. */
  const warping = (points) => {
    const bent = stn.splinesAt(stn.thinPlateSpline([4, 4]).points, points);
    return (family, params) => {
      if (family.shares) return bent(family, params);
      const moved = new Float32Array(2 * points.length);
      points.forEach(([x, y], k) => moved.set(family.at(params, x, y), 2 * k));
      return moved;
    };
  };

  const onLattice = (moved, k) => [moved[2 * k], moved[2 * k + 1]];
  const linesOf = (moved, lines = LINES) =>
    lines.map((line) => stn.path(line.map((k) => onLattice(moved, k)))).join("");

  /** The cells of the lattice that lie face down, by their upper left corners. */
  const folded = (moved) => {
    const found = [];
    for (let j = 0; j < CELLS; j++) {
      for (let i = 0; i < CELLS; i++) {
        const k = 2 * (j * (CELLS + 1) + i);
        const below = k + 2 * (CELLS + 1);
        const [ax, ay] = [moved[k + 2] - moved[k], moved[k + 3] - moved[k + 1]];
        const [bx, by] = [moved[below] - moved[k], moved[below + 1] - moved[k + 1]];
        const area = ax * by - ay * bx;
        // Where a corner is beyond the horizon, it is infinite, and tells nothing.
        if (Number.isFinite(area) && area < 0) found.push(k / 2);
      }
    }
    return found;
  };

  /** Twice the area of the smallest triangle that three of four points make. */
  const smallestTriangle = (points) =>
    Math.min(
      ...points.map((_, left) => {
        const [[x, y], ...two] = points.filter((_, k) => k !== left);
        const [[ax, ay], [bx, by]] = two.map(([u, v]) => [u - x, v - y]);
        return Math.abs(ax * by - ay * bx);
      }),
    );

  /** Root mean square distance from points one by one to points in pairs. */
  const distance = (moved, points) => {
    let sum = 0;
    points.forEach(([x, y], k) => {
      sum += (moved[2 * k] - x) ** 2 + (moved[2 * k + 1] - y) ** 2;
    });
    return Math.sqrt(sum / points.length);
  };

  stn.figures.bench = (root, model, data) => {
    const image = stn.unpack(data.image);
    const reach = image.width / 2; // pixels a normalized unit
    const size = [image.height, image.width];
    const FAMILIES = {
      Translation: stn.translation,
      Attention: stn.attention,
      Similarity: stn.similarity(1),
      Affine: stn.affine,
      Projective: stn.projective,
      ThinPlateSpline: stn.thinPlateSpline([4, 4]),
    };
    const throughLattice = warping(LATTICE);
    const throughOutput = warping(pixels(image));
    const fitting = () => model.get("mode") === "fit";
    const name = () => model.get("family");

    let soft = FAMILIES[SPLINE];
    let softness = 0;
    /** The spline of the stiffness that is set. */
    const softSpline = () => {
      if (softness !== model.get("stiffness")) {
        softness = model.get("stiffness");
        soft = stn.thinPlateSpline([4, 4], softness);
      }
      return soft;
    };
    const byHand = () => (name() === SPLINE ? softSpline() : FAMILIES[name()]);
    const params = () => model.get("warps")[name()];
    const setParams = (params) => {
      if (!params.every(Number.isFinite)) return;
      model.set({ warps: { ...model.get("warps"), [name()]: params } });
    };
    const withNumbers = (changes) =>
      setParams(params().map((old, k) => (k in changes ? changes[k] : old)));

    /** Where a matrix takes a point, were there no horizon: handles stay in sight. */
    const beyond = (x, y) => {
      const m = FAMILIES.Projective.matrix(params());
      const below = m[6] * x + m[7] * y + m[8];
      return [(m[0] * x + m[1] * y + m[2]) / below, (m[3] * x + m[4] * y + m[5]) / below];
    };

    // The panels.
    const input = stn.panel(VIEW, "input, and the output's grid");
    const picture = input.canvas(-1, -1, 1, 1);
    stn.paint(picture, image);
    const lines = input.path("stn-bench-lines");
    const hidden = input.path("stn-bench-hidden");
    const folds = input.path("stn-bench-fold");
    const top = input.path("stn-frame stn-thick");
    const residuals = input.path("stn-bench-residuals");
    const clues = input.path("stn-bench-clues");
    const output = stn.panel([-1, -1, 1, 1], "output");
    output.element.classList.add("stn-small");
    const out = output.canvas();
    out.classList.add("stn-out");
    const outFolds = output.path("stn-bench-fold");
    const horizon = output.path("stn-bench-horizon");
    const outClues = output.path("stn-bench-clues");

    // What moves a warp by hand.
    const handleOf = (family, words, get, move, style = "") => ({
      family,
      ...stn.handle(input, words, { get, move, style }),
    });
    const handles = [
      handleOf(
        "Translation",
        "middle of the frame",
        () => params(),
        (x, y) => setParams([x, y]),
      ),
      handleOf(
        "Attention",
        "corner of the frame, scales it",
        () => [params()[1] + params()[0], params()[2] + params()[0]],
        (x, y) => {
          const [, middle, height] = params();
          withNumbers({ 0: (x - middle + y - height) / 2 });
        },
      ),
      handleOf(
        "Attention",
        "middle of the frame",
        () => params().slice(1),
        (x, y) => withNumbers({ 1: x, 2: y }),
      ),
      handleOf(
        "Similarity",
        "corner of the frame, rotates and scales it",
        () => {
          const [a, b, x, y] = params();
          return [a - b + x, a + b + y];
        },
        (x, y) => {
          const [u, v] = [x - params()[2], y - params()[3]];
          withNumbers({ 0: (u + v) / 2, 1: (v - u) / 2 });
        },
      ),
      handleOf(
        "Similarity",
        "middle of the frame",
        () => params().slice(2),
        (x, y) => withNumbers({ 2: x, 3: y }),
      ),
      handleOf(
        "Affine",
        "right edge of the frame",
        () => [params()[0] + params()[2], params()[3] + params()[5]],
        (x, y) => withNumbers({ 0: x - params()[2], 3: y - params()[5] }),
        COLUMNS[0],
      ),
      handleOf(
        "Affine",
        "lower edge of the frame",
        () => [params()[1] + params()[2], params()[4] + params()[5]],
        (x, y) => withNumbers({ 1: x - params()[2], 4: y - params()[5] }),
        COLUMNS[1],
      ),
      handleOf(
        "Affine",
        "middle of the frame",
        () => [params()[2], params()[5]],
        (x, y) => withNumbers({ 2: x, 5: y }),
        COLUMNS[2],
      ),
      ...["upper left", "upper right", "lower right", "lower left"].map((words, k) =>
        handleOf(
          "Projective",
          `${words} corner of the frame`,
          () => beyond(...stn.corners[k]),
          (x, y) => {
            const seen = stn.corners.map((corner) => beyond(...corner));
            seen[k] = [x, y];
            // Three corners on a line would leave no way back.
            if (smallestTriangle(seen) < 0.02) return;
            setParams(stn.fit(FAMILIES.Projective, stn.corners, seen));
          },
        ),
      ),
      ...FAMILIES[SPLINE].points.map(([x, y], k) =>
        handleOf(
          SPLINE,
          `control point ${k}`,
          () => [x + params()[2 * k], y + params()[2 * k + 1]],
          (u, v) => withNumbers({ [2 * k]: u - x, [2 * k + 1]: v - y }),
        ),
      ),
    ];

    const corners = handles.filter(({ family }) => family === "Projective");

    // The numbers of each family: its matrix, or the offsets of its control points.
    const fields = [];
    const numbers = data.families.map(({ name: family, entries, letters, n }) => {
      const box = stn.element("div", { class: "stn-numbers stn-bench-numbers" });
      const field = (words, index, sign = 1) => {
        const made = stn.field(`${family}, ${words}`, {
          get: () => sign * params()[index],
          set: (value) => withNumbers({ [index]: sign * value }),
          style: family === "Affine" ? COLUMNS[index % 3] : "",
        });
        fields.push({ family, ...made });
        return made.element;
      };
      if (entries) {
        for (const entry of entries.flatMap((row) => row.split(" "))) {
          const index = letters.indexOf(entry.replace("-", ""));
          box.append(
            index < 0
              ? stn.element("span", {}, entry)
              : field(entry, index, entry[0] === "-" ? -1 : 1),
          );
        }
      } else {
        for (let k = 0; k < n / 2; k++) box.append(stn.element("span", {}));
        box.classList.add("stn-bench-offsets");
      }
      return { family, box };
    });
    const numbersCaption = stn.element("p", { class: "stn-caption" });

    // The errors of all families.
    const [left, right] = [Math.log10(LOWEST), Math.log10(HIGHEST)];
    const rows = data.families.map(({ name }) => name);
    const plot = stn.axes([left, -0.7, right, rows.length - 0.3], {
      ...{
        x: "root mean square distance (pixels)",
        y: "held-out (pixels)",
        xTicks: [],
        yTicks: [],
      },
      ratio: 2,
    });
    plot.element.classList.add("stn-bench-errors");
    for (let power = left; power <= right; power++) {
      plot.path("stn-rule", `M${power} -0.7V${rows.length - 0.3}`);
      plot.text(String(10 ** power), power, rows.length - 0.3, "stn-tick-x");
    }
    const gaps = plot.path("stn-bench-gap");
    const training = plot.path("stn-bench-training");
    const heldOut = plot.path("stn-bench-held-out");
    const labels = rows.map((name, k) => {
      const words = `${CALLED[name]}: ${data.families[k].n}`;
      return plot.text(words, left, k, "stn-tick-y");
    });
    const values = rows.map((_, k) => plot.text("", right, k, "stn-bench-value"));
    const legend = [
      ["stn-first", "training error: from the noisy points that it was fitted to"],
      ["stn-third", "held-out error: from the hidden warp, all over the output"],
    ].map(([style, words]) =>
      stn.element("p", { class: `stn-bench-key ${style}` }, words),
    );
    const results = stn.element(
      "div",
      { class: "stn-bench-results" },
      ...legend,
      plot.element,
    );

    // What there is to fit.
    const count = () => model.get("count");
    const pairs = (flat) =>
      Array.from({ length: count() }, (_, k) => [flat[2 * k], flat[2 * k + 1]]);
    const truth = () => {
      const family = FAMILIES[model.get("truth")];
      return [family, data.truths[model.get("truth")]];
    };
    const correspondences = () => {
      const points = pairs(data.points[model.get("draw")]);
      const [family, params] = truth();
      const noise = model.get("noise") / reach;
      const targets = pairs(data.errors[model.get("draw")]).map(([u, v], k) => {
        const [x, y] = family.at(params, ...points[k]);
        return [x + noise * u, y + noise * v];
      });
      return { points, targets };
    };
    /** All families' fits and errors; those that the points don't determine are left out. */
    const fits = ({ points, targets }) => {
      const right = throughLattice(...truth());
      const goal = LATTICE.map((_, k) => onLattice(right, k));
      const found = {};
      for (const { name, n } of data.families) {
        if (2 * points.length < n) continue;
        const family = FAMILIES[name];
        const params = stn.fit(family, points, targets);
        const reached = points.flatMap(([x, y]) => family.at(params, x, y));
        found[name] = {
          params,
          training: reach * distance(reached, targets),
          heldOut: reach * distance(throughLattice(family, params), goal),
        };
      }
      return found;
    };

    let found = {}; // the fits of this moment
    const best = () =>
      rows
        .filter((name) => found[name])
        .reduce((a, b) => (found[b].heldOut < found[a].heldOut ? b : a));
    const shownWarp = () => {
      if (!fitting()) return [byHand(), params()];
      const family = FAMILIES[name()];
      return [family, found[name()]?.params || family.identity];
    };

    let counted = { folds: 0, outside: 0 };
    const drawWarp = () => {
      const [family, params] = shownWarp();
      const moved = throughLattice(family, params);
      lines.setAttribute("d", linesOf(moved));
      top.setAttribute("d", linesOf(moved, LINES.slice(0, 1)));
      const cells = folded(moved);
      const corner = (k) => onLattice(moved, k);
      folds.setAttribute(
        "d",
        cells
          .map((k) => {
            const below = k + CELLS + 1;
            return stn.path([k, k + 1, below + 1, below].map(corner), true);
          })
          .join(""),
      );
      const side = 2 / CELLS;
      outFolds.setAttribute(
        "d",
        cells.map((k) => `M${LATTICE[k].join(" ")}h${side}v${side}h${-side}Z`).join(""),
      );
      const outside = LATTICE.filter((_, k) => !Number.isFinite(moved[2 * k])).length;
      counted = { folds: cells.length, outside };
      const [g, h] = name() === "Projective" ? params.slice(6) : [0, 0];
      // g x + h y + 1 = 0, far beyond the panel's edges
      const near = g * g + h * h;
      // A corner's handle says whether the corner is beyond it.
      corners.forEach(({ element }, k) => {
        const [x, y] = stn.corners[k];
        element.classList.toggle("stn-bench-beyond", !(g * x + h * y + 1 > 0));
      });
      horizon.setAttribute(
        "d",
        near > 0
          ? stn.path([-9, 9].map((far) => [(-g - far * h) / near, (-h + far * g) / near]))
          : "",
      );
      const grid = throughOutput(family, params);
      stn.paint(out, stn.sample(image, grid, size));
    };

    const drawFit = (given) => {
      const [family, params] = shownWarp();
      const { points, targets } = given;
      clues.setAttribute("d", stn.dots(targets));
      outClues.setAttribute("d", stn.dots(points));
      residuals.setAttribute(
        "d",
        points
          .map(([x, y], k) => stn.path([targets[k], family.at(params, x, y)]))
          .join(""),
      );
      const shown = model.get("reveal");
      hidden.setAttribute("d", shown ? linesOf(throughLattice(...truth())) : "");
      const at = (error) => Math.min(Math.max(Math.log10(error), left), right);
      const known = rows.map((name, k) => [name, k]).filter(([name]) => found[name]);
      const dots = (which) =>
        stn.dots(known.map(([name, k]) => [at(found[name][which]), k]));
      training.setAttribute("d", dots("training"));
      heldOut.setAttribute("d", dots("heldOut"));
      gaps.setAttribute(
        "d",
        known
          .map(([name, k]) => {
            const { training, heldOut } = found[name];
            return `M${at(training)} ${k}H${at(heldOut)}`;
          })
          .join(""),
      );
      rows.forEach((family, k) => {
        const few = `needs ${Math.ceil(data.families[k].n / 2)}`;
        const error = found[family] ? stn.number(found[family].heldOut) : few;
        values[k].textContent = Number.isFinite(found[family]?.heldOut ?? 0)
          ? error
          : "∞";
        for (const text of [labels[k], values[k]]) {
          text.classList.toggle("stn-bench-chosen", family === name());
        }
      });
    };

    const { limits } = data;
    const inPixels = (value) => `${stn.number(value, 1)} px`;
    const modes = stn.choice(
      "warp",
      [
        ["hand", "by hand"],
        ["fit", "fitted to points"],
      ],
      { get: () => model.get("mode"), set: (mode) => model.set({ mode }) },
    );
    const families = stn.choice(
      "family",
      rows.map((name) => [name, CALLED[name]]),
      { get: name, set: (family) => model.set({ family }) },
    );
    const tabs = stn.element(
      "div",
      { class: "stn-bench-tabs" },
      modes.element,
      families.element,
    );
    const stiffness = stn.slider("stiffness", {
      ...{ min: 0, max: limits.stiffest, step: 0.05 },
      get: () => model.get("stiffness"),
      set: (stiffness) => model.set({ stiffness }),
      say: (value) => stn.number(value),
    });
    const ofFit = [
      stn.choice(
        "hidden warp",
        Object.keys(data.truths).map((name) => [name, CALLED[name]]),
        { get: () => model.get("truth"), set: (truth) => model.set({ truth }) },
      ),
      stn.slider("number of points", {
        ...{ min: limits.fewest, max: limits.most, step: 1 },
        get: count,
        set: (count) => model.set({ count }),
      }),
      stn.slider("noise", {
        ...{ min: 0, max: limits.noisiest, step: 0.5 },
        get: () => model.get("noise"),
        set: (noise) => model.set({ noise }),
        say: inPixels,
      }),
      stn.button("Other points", () =>
        model.set({ draw: (model.get("draw") + 1) % data.points.length }),
      ),
      stn.toggle("show the hidden warp", {
        get: () => model.get("reveal"),
        set: (reveal) => model.set({ reveal }),
      }),
    ];

    const show = (element, on) => (element.hidden = !on);
    const draw = () => {
      const given = fitting() ? correspondences() : null;
      found = given ? fits(given) : {};
      for (const part of [...handles, ...numbers]) {
        show(part.element || part.box, !given && part.family === name());
      }
      show(numbersCaption, !given);
      show(results, given);
      ofFit.forEach((control) => show(control.element, given));
      show(stiffness.element, !given && name() === SPLINE);
      numbersCaption.textContent =
        name() === SPLINE
          ? "offsets x, y of the control points, row by row"
          : "the matrix, from output to input coordinates";
      drawWarp();
      if (given) {
        drawFit(given);
        return;
      }
      for (const path of [clues, outClues, residuals, hidden]) path.setAttribute("d", "");
      if (name() === SPLINE) {
        const { box } = numbers.find(({ family }) => family === SPLINE);
        [...box.children].forEach((cell, k) => {
          const offset = params().slice(2 * k, 2 * k + 2);
          cell.textContent = offset.map((value) => stn.number(value)).join(", ");
        });
        // A stiff spline passes by its targets: a line says how far.
        residuals.setAttribute(
          "d",
          soft.points
            .map(([x, y], k) => {
              const target = [x + params()[2 * k], y + params()[2 * k + 1]];
              return stn.path([target, softSpline().at(params(), x, y)]);
            })
            .join(""),
        );
      }
    };

    /** Only what is shown has to follow. */
    const ofFamily = (parts) =>
      parts.map(({ family, element, update }) => ({
        element,
        update: () => {
          if (!fitting() && family === name()) update();
        },
      }));

    const cells = CELLS * CELLS;
    const foldedWords = () => {
      if (counted.folds === 0) return "No cell is folded.";
      if (counted.folds === cells) {
        return `All ${cells} cells lie face down: the picture is mirrored.`;
      }
      return `${counted.folds} of ${cells} cells are folded, and show in mirror image.`;
    };
    stn.compose(root, model, {
      body: [
        tabs,
        stn.panels(input, output),
        numbersCaption,
        ...numbers.map(({ box }) => box),
        results,
      ],
      controls: [stiffness, ...ofFit],
      handles: [modes, families, ...ofFamily(handles), ...ofFamily(fields)],
      draw,
      code: () => {
        const [, params] = shownWarp();
        const stiff = fitting() ? 0 : model.get("stiffness");
        const made = {
          Similarity: "aspect=1",
          ThinPlateSpline: stiff ? `(4, 4), stiffness=${stiff}` : "(4, 4)",
        };
        const said = params.map((value) => stn.plain(value)).join(", ");
        return (
          `grid = ${name()}(${made[name()] || ""})` +
          `.grid(torch.tensor([[${said}]]), (${size.join(", ")}))`
        );
      },
      status: () => {
        if (!fitting()) {
          const beyond =
            counted.outside === 0
              ? ""
              : ` The horizon (dashed) crosses the output: ${counted.outside} of ` +
                `${LATTICE.length} points lie beyond it and count as outside.`;
          return `${KEEPS[name()]}. ${foldedWords()}${beyond}`;
        }
        const say = (error) =>
          Number.isFinite(error)
            ? inPixels(error)
            : "infinite (a point lies beyond its horizon)";
        const own = found[name()];
        const ownWords = own
          ? `${CALLED[name()]}: training error ${say(own.training)}, held-out error ` +
            `${say(own.heldOut)}.`
          : `${CALLED[name()]}: ${count()} points do not determine its ` +
            `${FAMILIES[name()].identity.length} numbers.`;
        return (
          `${ownWords[0].toUpperCase()}${ownWords.slice(1)} Of the six, ` +
          `${CALLED[best()]} has the smallest held-out error, ` +
          `${say(found[best()].heldOut)}.`
        );
      },
      rest: () => {
        if (fitting()) return { count: 20, noise: 3, draw: 0, reveal: false };
        const identity = [...FAMILIES[name()].identity];
        const warps = { ...model.get("warps"), [name()]: identity };
        return name() === SPLINE ? { warps, stiffness: 0 } : { warps };
      },
    });
  };
})();
