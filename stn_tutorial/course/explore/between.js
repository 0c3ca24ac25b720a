// Between the pixels: a point is dragged over a small image. The pixels it is read from
// show their weights, which are products of two heights: one for each axis.

(() => {
  const stn = globalThis.stn;
  const MARGIN = 2; // how far outside neighbours lie, of a point one pixel outside
  const BASE = -MARGIN - 1.15; // where the curves of the weights stand
  const TALL = 1.25; // how tall a weight of 1 is drawn, in pixels of the image
  const START = BASE - TALL - 0.6; // the left and the upper end of the panel
  const CORNERS = ["stn-nw", "stn-ne", "stn-sw", "stn-se"];
  const NAMES = ["nw", "ne", "sw", "se"];
  const SQUARE = [-0.3, -0.3, 1.3, 1.3]; // the unit square, and its corners

  /** A value with one digit behind the point, or two where it needs them. */
  const short = (value) => stn.number(value).replace(/0$/, "");
  /** A value with two digits behind the point and none before it, where room is short. */
  const tight = (value) => stn.number(value).replace(/^(−?)0\./, "$1.");

  const box = (x0, y0, x1, y1) => `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;

  stn.figures.between = (root, model, image) => {
    const { width, height, pixels } = image;
    const reading = () => {
      const padding = model.get("padding");
      const fill = padding === "zeros" ? model.get("fill") : 0;
      return { interpolation: model.get("interpolation"), padding, fill };
    };

    /** A pixel's value, and the pixel that it is taken from: itself, or none, or another. */
    const look = (i, j) => {
      const { padding, fill } = reading();
      const from = [stn.moved(i, width, padding), stn.moved(j, height, padding)];
      const inside = from[0] >= 0 && from[0] < width && from[1] >= 0 && from[1] < height;
      const value = inside ? pixels[from[1] * width + from[0]] : fill;
      return { value, from: inside ? from : null };
    };

    /** The neighbours along an axis of n pixels, with their weights. */
    const along = (x, n) => {
      const { interpolation, padding } = reading();
      if (interpolation !== "nearest") return stn.weights(x, interpolation);
      // At a tie outside, the side is the one that the mirrored point takes.
      const [[nearest]] = stn.weights(stn.moved(x, n, padding), interpolation);
      const two = [stn.weights(x, interpolation)[0][0], Math.floor(x), Math.ceil(x)];
      const same = two.find((k) => stn.moved(k, n, padding) === nearest);
      return [[same ?? two[0], 1]];
    };

    /** All neighbours, row by row. */
    const neighbours = () => {
      const [x, y] = model.get("point");
      const columns = along(x, width);
      return along(y, height).flatMap(([j, down]) =>
        columns.map(([i, across]) => ({ i, j, weight: across * down, ...look(i, j) })),
      );
    };
    const read = (all) => all.reduce((sum, { weight, value }) => sum + weight * value, 0);
    const outside = ({ i, j }) => i < 0 || i >= width || j < 0 || j >= height;

    const main = stn.panel([START, START, width + MARGIN - 0.5, height + MARGIN - 0.5]);
    main.element.classList.add("stn-between");
    const around = main.canvas(
      ...[-MARGIN - 0.5, -MARGIN - 0.5, width + MARGIN - 0.5, height + MARGIN - 0.5],
    );
    around.classList.add("stn-outside");
    stn.paint(main.canvas(-0.5, -0.5, width - 0.5, height - 0.5), image);
    main.path("stn-edge", box(-0.5, -0.5, width - 0.5, height - 0.5));
    for (let j = 0; j < height; j++) {
      for (let i = 0; i < width; i++) {
        const value = pixels[j * width + i];
        main.text(short(value), i, j - 0.15, value > 0.5 ? "stn-ink" : "stn-white");
      }
    }
    const index = (k, x, y) => main.text(String(k), x, y, "stn-index");
    for (let i = 0; i < width; i++) index(i, i, -MARGIN - 0.75);
    for (let j = 0; j < height; j++) index(j, -MARGIN - 0.75, j);
    const asked = main.path("stn-asked");
    const parts = CORNERS.map((corner) => main.path(`stn-part ${corner}`));
    const arrows = main.path("stn-frame stn-arrows");
    const curves = main.path("stn-curves");
    const lines = main.path("stn-frame stn-dashed");
    const heights = main.path("stn-sample-dots");
    const words = (n, style = "") =>
      Array.from({ length: n }, () => main.text("", 0, 0, style));
    const across = words(4, "stn-weight");
    const down = words(4, "stn-weight");
    const badges = words(16, "stn-badge");
    const say = (text, shown, x, y, panel = main) => {
      text.textContent = shown;
      panel.put(text, x, y);
    };

    const square = stn.panel(SQUARE, "weights as areas");
    const areas = CORNERS.map((corner) => square.path(`stn-part ${corner}`));
    const positive = square.path("stn-part stn-positive");
    const negative = square.path("stn-part stn-negative");
    const ends = CORNERS.map((corner) => square.path(`stn-end ${corner}`));
    const middle = square.path("stn-sample-dots");
    const shares = CORNERS.map(() => square.text("", 0, 0, "stn-badge"));
    const table = stn.element("table", { class: "stn-terms" });
    const side = stn.element("div", { class: "stn-between-side" }, square.element, table);

    /** The kernel of a pixel along an axis, as points (offset, height). */
    const kernel = (k, interpolation) => {
      const reach = { nearest: 0.5, bilinear: 1, bicubic: 2 }[interpolation];
      if (interpolation === "nearest")
        return [
          [-reach, 0],
          [-reach, 1],
          [reach, 1],
          [reach, 0],
        ];
      return Array.from({ length: 41 }, (_, n) => {
        const d = reach * (n / 20 - 1);
        const found = stn.weights(k + d, interpolation).find(([i]) => i === k);
        return [d, found ? found[1] : 0];
      });
    };

    /** The weights along both axes: kernels, and how high they are at the point. */
    const drawAxes = () => {
      const { interpolation } = reading();
      const brief = interpolation === "bicubic" ? tight : short;
      const [x, y] = model.get("point");
      const columns = along(x, width);
      const rows = along(y, height);
      const curve = [];
      const dots = [];
      for (const [k, weight] of columns) {
        curve.push(kernel(k, interpolation).map(([d, h]) => [k + d, BASE - TALL * h]));
        dots.push([x, BASE - TALL * weight]);
      }
      for (const [k, weight] of rows) {
        curve.push(kernel(k, interpolation).map(([d, h]) => [BASE - TALL * h, k + d]));
        dots.push([BASE - TALL * weight, y]);
      }
      curves.setAttribute("d", curve.map((points) => stn.path(points)).join(""));
      heights.setAttribute("d", stn.dots(dots));
      lines.setAttribute("d", `M${x} ${BASE - TALL}V${y}M${BASE - TALL} ${y}H${x}`);
      across.forEach((text, n) => {
        text.hidden = n >= columns.length;
        if (!text.hidden) say(text, brief(columns[n][1]), columns[n][0], START + 0.3);
      });
      down.forEach((text, n) => {
        text.hidden = n >= rows.length;
        if (!text.hidden) say(text, brief(rows[n][1]), START + 0.45, rows[n][0]);
      });
    };

    /** The neighbours among the pixels: weights, and where those outside come from. */
    const drawNeighbours = (all) => {
      const { interpolation } = reading();
      const linear = interpolation === "bilinear";
      const brief = interpolation === "bicubic" ? tight : stn.number;
      asked.setAttribute(
        "d",
        all.map(({ i, j }) => box(i - 0.46, j - 0.46, i + 0.46, j + 0.46)).join(""),
      );
      badges.forEach((badge, n) => {
        badge.hidden = n >= all.length;
        if (badge.hidden) return;
        const one = all[n];
        const weight = brief(one.weight);
        const value = short(one.value);
        say(badge, outside(one) ? `${value}\n${weight}` : weight, one.i, one.j);
        badge.classList.toggle("stn-inside", !outside(one));
        badge.dataset.value = value; // where the page is narrow, it hides the pixel's
        badge.classList.toggle("stn-below", one.weight < 0);
        badge.classList.remove(...CORNERS);
        if (linear) badge.classList.add(CORNERS[n]);
      });
      arrows.setAttribute(
        "d",
        all
          .filter((one) => outside(one) && one.from && one.weight !== 0)
          .map(({ i, j, from }) => stn.arrow([i, j], from, 0.25))
          .join(""),
      );
    };

    /** The rectangles of the bilinear weights, and all weights as areas. */
    const drawAreas = (all) => {
      const { interpolation } = reading();
      const [x, y] = model.get("point");
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [a, b] = [x - left, y - top];
      const linear = interpolation === "bilinear";
      const squares = { up: "", below: "" };
      if (interpolation === "bicubic") {
        for (const { i, j, weight } of all) {
          const half = 0.16 * Math.sqrt(Math.abs(weight));
          const [u, v] = [(i - left + 1) / 3, (j - top + 1) / 3];
          squares[weight < 0 ? "below" : "up"] += box(
            u - half,
            v - half,
            u + half,
            v + half,
          );
        }
      }
      positive.setAttribute("d", squares.up);
      negative.setAttribute("d", squares.below);
      CORNERS.forEach((_, n) => {
        const [w, h] = [n % 2, n >> 1];
        const [x0, x1] = w ? [0, a] : [a, 1];
        const [y0, y1] = h ? [0, b] : [b, 1];
        let part = linear ? [x0, y0, x1, y1] : null;
        if (interpolation === "nearest" && all[0].i === left + w && all[0].j === top + h)
          part = [w / 2, h / 2, (w + 1) / 2, (h + 1) / 2];
        areas[n].setAttribute("d", part ? box(...part) : "");
        const [p0, q0, p1, q1] = part || [];
        const there = part && box(left + p0, top + q0, left + p1, top + q1);
        parts[n].setAttribute("d", there || "");
        ends[n].setAttribute("d", interpolation === "bicubic" ? "" : stn.dots([[w, h]]));
        shares[n].hidden = !part;
        if (!part) return;
        const share = linear ? all[n].weight : 1;
        say(shares[n], stn.number(share), (p0 + p1) / 2, (q0 + q1) / 2, square);
      });
      const cubic = interpolation === "bicubic";
      middle.setAttribute("d", stn.dots([cubic ? [(a + 1) / 3, (b + 1) / 3] : [a, b]]));
    };

    /** The sum, a row for each term; of sixteen terms, one for each row of pixels. */
    const drawTerms = (all) => {
      const { interpolation } = reading();
      const rows = along(model.get("point")[1], height);
      let terms;
      if (interpolation === "bicubic") {
        const columns = along(model.get("point")[0], width);
        terms = rows.map(([j, weight]) => {
          const value = columns.reduce((sum, [i, u]) => sum + u * look(i, j).value, 0);
          return [`row ${stn.number(j, 0)}`, weight, value, ""];
        });
      } else {
        const [left, top] = model.get("point").map(Math.floor);
        terms = all.map(({ i, j, weight, value }) => {
          const n = 2 * (j - top) + i - left;
          return [NAMES[n] ?? "", weight, value, CORNERS[n] ?? ""];
        });
      }
      const line = (cells, style = "") =>
        stn.element(
          "tr",
          { class: style },
          ...cells.map((c) => stn.element("td", {}, c)),
        );
      table.replaceChildren(
        ...terms.map(([name, weight, value, corner]) =>
          line(
            [
              name,
              `${stn.number(weight)} · ${short(value)}`,
              stn.number(weight * value, 3),
            ],
            corner,
          ),
        ),
        line(["V", "", stn.number(read(all), 3)], "stn-sum"),
      );
    };

    const handle = stn.handle(main, "point, x and y in pixels", {
      get: () => model.get("point"),
      move: (x, y) => {
        const within = (value, n) => Number(Math.min(Math.max(value, -1), n).toFixed(2));
        model.set({ point: [within(x, width), within(y, height)] });
      },
      step: 0.1,
      style: "stn-sampled",
    });
    const state = (name) => ({
      get: () => model.get(name),
      set: (value) => model.set({ [name]: value }),
    });
    const fill = stn.slider("fill", {
      ...{ min: 0, max: 1, step: 0.05 },
      ...state("fill"),
      say: (value) => stn.number(value),
    });
    const choices = (name, values) =>
      stn.choice(
        name,
        values.map((value) => [value, value]),
        state(name),
      );

    const draw = () => {
      const all = neighbours();
      const size = [width + 2 * MARGIN, height + 2 * MARGIN];
      const seen = Array.from(
        { length: size[0] * size[1] },
        (_, k) => look((k % size[0]) - MARGIN, Math.floor(k / size[0]) - MARGIN).value,
      );
      stn.paint(around, { width: size[0], height: size[1], pixels: seen });
      drawAxes();
      drawNeighbours(all);
      drawAreas(all);
      drawTerms(all);
      fill.element.hidden = reading().padding !== "zeros";
    };

    /** What is said of the neighbours outside. */
    const sayOutside = (all) => {
      const count = all.filter(outside).length;
      if (count === 0) return "";
      const { padding, fill } = reading();
      const one = count === 1;
      const who = all.length === 1 ? "It" : `${count} of the ${all.length}`;
      const taken = {
        zeros: `${one ? "counts" : "count"} as ${stn.number(fill)}`,
        border: `${one ? "repeats" : "repeat"} the edge`,
        reflection: `${one ? "is" : "are"} mirrored at the edge`,
      }[padding];
      return ` ${who} ${one ? "lies" : "lie"} outside and ${taken}.`;
    };

    stn.compose(root, model, {
      body: [stn.panels(main, { element: side })],
      controls: [
        choices("interpolation", ["nearest", "bilinear", "bicubic"]),
        choices("padding", ["zeros", "border", "reflection"]),
        fill,
      ],
      handles: [handle],
      draw,
      code: () => {
        const { interpolation, padding, fill } = reading();
        const point = model.get("point").map((value) => stn.plain(value));
        const options = [
          ...(interpolation === "bilinear" ? [] : [`interpolation="${interpolation}"`]),
          ...(padding === "zeros" ? [] : [`padding="${padding}"`]),
          ...(fill === 0 ? [] : [`fill=${stn.plain(fill)}`]),
        ];
        const place = `to_normalized(torch.tensor([[[${point.join(", ")}]]]), U.shape)`;
        return `sample(${["U[None]", place, ...options].join(", ")}).item()`;
      },
      status: () => {
        const all = neighbours();
        const { interpolation } = reading();
        const [x, y] = model.get("point");
        const where = `At (${stn.number(x)}, ${stn.number(y)})`;
        const value = stn.number(read(all), 3);
        const below = all.filter(({ weight }) => weight < 0);
        const sum = below.reduce((total, { weight }) => total + weight, 0);
        const terms = all.map((one) => `${stn.number(one.weight)} · ${short(one.value)}`);
        const said = {
          nearest: `the nearest pixel counts: ${value}.`,
          bilinear: `four pixels are mixed: ${terms.join(" + ")} = ${value}.`,
          bicubic:
            `sixteen pixels are mixed to ${value}; ${below.length} weights are ` +
            `negative, ${stn.number(sum)} in all.`,
        }[interpolation];
        return `${where} ${said}${sayOutside(all)}`;
      },
      rest: {
        ...{ point: [1.3, 2.6], interpolation: "bilinear" },
        ...{ padding: "zeros", fill: 0 },
      },
    });
  };
})();
