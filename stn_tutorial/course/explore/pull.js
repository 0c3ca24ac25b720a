// The pull on a point: what it reads, and which way is brighter; or what all points
// together would do to lower a loss.

(() => {
  const stn = globalThis.stn;
  const REACH = 4; // how far all points are shifted, in pixels
  const FINE = 0.05; // of the loss over shifts, in pixels
  const LEVELS = [0.2, 0.5, 0.8]; // of the target's outline

  /** A number of one digit, 1, 2 or 5, which is not larger than another. */
  const plainBelow = (value) => {
    const power = 10 ** Math.floor(Math.log10(value));
    return power * [5, 2, 1].find((digit) => digit * power <= value);
  };

  /** Which way a vector points, in words. */
  const way = ([x, y]) => {
    const small = 0.02 * Math.hypot(x, y);
    const words = [];
    if (Math.abs(x) > small) words.push(x < 0 ? "left" : "right");
    if (Math.abs(y) > small) words.push(y < 0 ? "up" : "down");
    return words.join(" and ");
  };

  /** The lines on which a picture has a value, as pairs of points in pixels. */
  const outline = ({ width, height, pixels }, level) => {
    const segments = [];
    for (let j = 0; j + 1 < height; j++) {
      for (let i = 0; i + 1 < width; i++) {
        const around = [
          [i, j],
          [i + 1, j],
          [i + 1, j + 1],
          [i, j + 1],
        ];
        const crossings = [];
        around.forEach(([x, y], k) => {
          const [nextX, nextY] = around[(k + 1) % 4];
          const here = pixels[y * width + x] - level;
          const there = pixels[nextY * width + nextX] - level;
          if (here < 0 === there < 0) return;
          const part = here / (here - there);
          crossings.push([x + part * (nextX - x), y + part * (nextY - y)]);
        });
        for (let k = 0; k + 1 < crossings.length; k += 2) {
          segments.push([crossings[k], crossings[k + 1]]);
        }
      }
    }
    return segments;
  };

  stn.figures.pull = (root, model, data) => {
    const unpacked = stn.unpack(data.image);
    const { width, height } = unpacked;
    const image = {
      ...unpacked,
      pixels: Float64Array.from(unpacked.pixels, (v) => Math.round(255 * v) / 255),
    };
    const middle = [(width - 1) / 2, (height - 1) / 2];
    const one = () => model.get("asked") === "one point";
    const read = (x, y) => stn.slopesAt(image, x, y);
    const hundredths = (...pair) => pair.map((value) => Math.round(100 * value) / 100);

    // The pixels, with the lines through their centres, where the kinks are.
    const view = [-0.5, -0.5, width - 0.5, height - 0.5];
    const panel = stn.panel(view, " ");
    const caption = panel.element.querySelector(".stn-caption");
    stn.paint(panel.canvas(), image);
    const kinks = [
      ...Array.from({ length: width }, (_, i) => `M${i} -0.5V${height - 0.5}`),
      ...Array.from({ length: height }, (_, j) => `M-0.5 ${j}H${width - 0.5}`),
    ];
    panel.path("stn-pull-kinks", kinks.join(""));
    const row = panel.path("stn-pull-row");
    const contours = panel.path("stn-pull-target");
    const dots = panel.path("stn-pull-dots");
    const field = panel.path("stn-pull-field");
    const arrows = [panel.path("stn-pull-around"), panel.path("stn-pull-arrow")];
    const edges = LEVELS.flatMap((level) => outline(image, level));

    // One point: what it would read in its row, and with which slope.
    const columns = Array.from({ length: width }, (_, i) => i);
    const few = columns.filter((i) => width < 10 || i % 2 === 0);
    let steepest = 0;
    for (let j = 0; j < height; j++) {
      for (const i of columns.slice(1)) {
        const step = image.pixels[j * width + i] - image.pixels[j * width + i - 1];
        steepest = Math.max(steepest, Math.abs(step));
      }
    }
    steepest = Math.max(steepest, 0.1);
    const slopeTick = plainBelow(steepest);
    const times = plainBelow((0.25 * width) / steepest); // as long as an arrow is drawn
    const ratio = 2.4;
    const value = stn.axes([-0.5, 1.05, width - 0.5, -0.05], {
      x: "",
      y: "value V",
      xTicks: few,
      yTicks: [0, 0.5, 1],
      ratio,
      digits: 1,
      xDigits: 0,
    });
    const slope = stn.axes([-0.5, 1.15 * steepest, width - 0.5, -1.15 * steepest], {
      x: "x (pixels)",
      y: "slope ∂V/∂x, for each pixel",
      xTicks: few,
      yTicks: [-slopeTick, 0, slopeTick],
      ratio,
      digits: slopeTick < 0.1 ? 2 : 1,
      xDigits: 0,
    });
    const curve = value.path("stn-pull-value");
    const steps = slope.path("stn-pull-slope");
    const starts = slope.path("stn-pull-starts");

    // All points: the loss over their shift along x, and its gradient.
    const places = columns.length * height;
    const goalOf = ([x, y]) => {
      const goal = new Float64Array(places);
      for (let k = 0; k < places; k++) {
        goal[k] = read((k % width) - x, Math.floor(k / width) - y)[0];
      }
      return goal;
    };
    let goal = { key: "", values: goalOf([0, 0]) };
    const target = () => {
      const key = String(model.get("target"));
      if (goal.key !== key) goal = { key, values: goalOf(model.get("target")) };
      return goal.values;
    };
    /** The loss at a shift, what each point would do, and the sum of it. */
    const ask = ([x, y], each = null) => {
      const wanted = target();
      let [loss, alongX, alongY] = [0, 0, 0];
      for (let k = 0; k < places; k++) {
        const [i, j] = [(k % width) + x, Math.floor(k / width) + y];
        const [seen, slopeX, slopeY] = read(i, j);
        const off = seen - wanted[k];
        loss += 0.5 * off * off;
        alongX -= off * slopeX;
        alongY -= off * slopeY;
        if (each) each([i, j], [-off * slopeX, -off * slopeY]);
      }
      return { loss, sum: [alongX, alongY] };
    };
    const scan = (y) => {
      const points = [];
      const count = Math.round((2 * REACH) / FINE);
      for (let k = 0; k <= count; k++) {
        const x = Math.round((k * FINE - REACH) * 1e6) / 1e6;
        const { loss, sum } = ask([x, y]);
        points.push([x, loss, -sum[0]]);
      }
      return points;
    };
    const first = scan(-model.get("target")[1]);
    const highest = 1.1 * Math.max(...first.map(([, loss]) => loss), 1e-6);
    const strongest = 1.4 * Math.max(...first.map(([, , pull]) => Math.abs(pull)), 1e-6);
    let longest = 1e-9; // of the arrows at the beginning
    const begin = ask(model.get("shift"), (_, arrow) => {
      longest = Math.max(longest, Math.hypot(...arrow));
    });
    const fieldTimes = plainBelow(2 / longest);
    const sumTimes = (0.25 * width) / Math.max(Math.hypot(...begin.sum), 1e-9);
    const shifts = [-4, -2, 0, 2, 4];
    const tick = plainBelow(highest);
    const pullTick = plainBelow(0.9 * strongest);
    const digitsOf = (value) => Math.max(0, -Math.floor(Math.log10(value)));
    const lossAxes = stn.axes([-REACH, highest, REACH, -0.05 * highest], {
      x: "",
      y: "loss L",
      xTicks: shifts,
      yTicks: [0, tick],
      ratio,
      digits: digitsOf(tick),
      xDigits: 0,
    });
    const pullAxes = stn.axes([-REACH, strongest, REACH, -strongest], {
      x: "shift x of all points (pixels)",
      y: "gradient ∂L/∂x, the arrows' sum reversed",
      xTicks: shifts,
      yTicks: [-pullTick, 0, pullTick],
      ratio,
      digits: digitsOf(pullTick),
      xDigits: 0,
    });
    const lossCurve = lossAxes.path("stn-pull-value");
    const pullCurve = pullAxes.path("stn-pull-slope");
    const marks = [value, slope, lossAxes, pullAxes].map((axes) =>
      axes.path("stn-pull-mark"),
    );
    let scanned = "";

    const within = (value, most) => Math.min(Math.max(value, -most), most);
    /** The point stays between the centres of the outer pixels. */
    const put = (x, y) => {
      const inside = [middle[0] + within(x - middle[0], middle[0])];
      inside.push(middle[1] + within(y - middle[1], middle[1]));
      model.set({ point: hundredths(...inside) });
    };
    const by = ([x, y]) => `by x ${stn.number(x)}, y ${stn.number(y)}`;
    const handles = [
      stn.handle(panel, "the point", {
        get: () => model.get("point"),
        move: put,
        step: 0.1,
        style: "stn-pull-sample",
      }),
      stn.handle(panel, "target, displaced", {
        get: () => middle.map((value, k) => value + model.get("target")[k]),
        move: (x, y) => model.set({ target: hundredths(x - middle[0], y - middle[1]) }),
        step: 0.25,
        style: "stn-third",
        say: () => by(model.get("target")),
      }),
      stn.handle(panel, "all points, shifted", {
        get: () => middle.map((value, k) => value + model.get("shift")[k]),
        move: (x, y) => {
          const moved = [x - middle[0], y - middle[1]];
          model.set({ shift: hundredths(...moved.map((v) => within(v, REACH))) });
        },
        step: 0.25,
        style: "stn-pull-sample",
        say: () => by(model.get("shift")),
      }),
    ];
    handles.forEach((handle) => panel.put(handle.element, 0, 0));
    stn.aim(panel, (x, y) => {
      if (one()) put(x, y);
    });

    /** An arrow from a point, so many times as long as a vector. */
    const arrow = (from, vector, scale) => {
      const to = from.map((value, k) => value + scale * vector[k]);
      const length = scale * Math.hypot(...vector);
      return stn.arrow(from, to, Math.min(0.03 * width, 0.5 * length));
    };

    const drawPoint = () => {
      const [x, y] = model.get("point");
      const [seen, ...slopes] = read(x, y);
      row.setAttribute("d", `M-0.5 ${y}H${width - 0.5}`);
      const said = arrow([x, y], slopes, times);
      arrows.forEach((path) => path.setAttribute("d", said));
      curve.setAttribute("d", stn.path(columns.map((i) => [i, read(i, y)[0]])));
      const pieces = columns.slice(0, -1).map((i) => [i, read(i, y)[1]]);
      const level = ([i, steep]) => `M${i} ${steep.toFixed(4)}h1`;
      steps.setAttribute("d", pieces.map(level).join(""));
      starts.setAttribute("d", stn.dots(pieces));
      marks[0].setAttribute("d", stn.dots([[x, seen]]));
      marks[1].setAttribute("d", stn.dots([[x, within(slopes[0], 1.15 * steepest)]]));
    };

    const drawAll = () => {
      const shift = model.get("shift");
      const [dx, dy] = model.get("target");
      const moved = edges.map((pair) => stn.path(pair.map(([x, y]) => [x + dx, y + dy])));
      contours.setAttribute("d", moved.join(""));
      const points = [];
      const wishes = [];
      const { loss, sum } = ask(shift, (point, wish) => {
        points.push(point);
        // An arrow that can't be seen is none.
        if (fieldTimes * Math.hypot(...wish) > 0.08) {
          wishes.push(arrow(point, wish, fieldTimes));
        }
      });
      dots.setAttribute("d", stn.dots(points));
      field.setAttribute("d", wishes.join(""));
      const from = middle.map((value, k) => value + shift[k]);
      const said = arrow(from, sum, sumTimes);
      arrows.forEach((path) => path.setAttribute("d", said));
      const key = `${model.get("target")} ${shift[1]}`;
      if (scanned !== key) {
        const all = scan(shift[1]);
        lossCurve.setAttribute("d", stn.path(all.map(([x, height]) => [x, height])));
        // On whole shifts the gradient jumps: there its line is interrupted.
        const line = all.flatMap(([x, , pull]) =>
          Number.isInteger(x)
            ? [
                [x, NaN],
                [x, within(pull, strongest)],
              ]
            : [[x, within(pull, strongest)]],
        );
        pullCurve.setAttribute("d", stn.path(line));
        scanned = key;
      }
      marks[2].setAttribute("d", stn.dots([[shift[0], loss]]));
      marks[3].setAttribute("d", stn.dots([[shift[0], within(-sum[0], strongest)]]));
    };

    const draw = () => {
      const single = one();
      [row, handles[0].element].forEach((part) =>
        part.toggleAttribute("hidden", !single),
      );
      [contours, dots, field, handles[1].element, handles[2].element].forEach((part) =>
        part.toggleAttribute("hidden", single),
      );
      [value, slope].forEach(({ element }) => (element.hidden = !single));
      [lossAxes, pullAxes].forEach(({ element }) => (element.hidden = single));
      caption.textContent = single
        ? `the slopes as an arrow, × ${times}`
        : `each point's arrow, × ${fieldTimes}; thick, their sum`;
      if (single) drawPoint();
      else drawAll();
    };

    const side = stn.element("div", { class: "stn-pull-side" });
    side.append(...[value, slope, lossAxes, pullAxes].map(({ element }) => element));
    const said = (value) => stn.number(value, 3);
    stn.compose(root, model, {
      body: [stn.panels(panel, { element: side })],
      controls: [
        stn.choice(
          "Ask",
          [
            ["one point", "one point"],
            ["all points", "all points"],
          ],
          {
            get: () => model.get("asked"),
            set: (asked) => model.set({ asked }),
          },
        ),
      ],
      handles,
      draw,
      code: () => {
        const pair = (name) =>
          model
            .get(name)
            .map((value) => stn.plain(value))
            .join(", ");
        if (one()) return `slopes(U, torch.tensor([${pair("point")}], dtype=U.dtype))`;
        return (
          `moved = to_normalized(centres - torch.tensor([${pair("target")}]), ` +
          `(${height}, ${width}))\n` +
          "field = downhill(source, sample(source, moved[None]), " +
          `centres + torch.tensor([${pair("shift")}]))`
        );
      },
      status: () => {
        if (one()) {
          const [x, y] = model.get("point");
          const [seen, ...slopes] = read(x, y);
          const [x2, y2] = [x, y].map((value) => stn.number(value));
          let words = `At (${x2}, ${y2}) px the value is ${said(seen)}; its slopes are `;
          words += `${said(slopes[0])} a pixel to the right, ${said(slopes[1])} a pixel `;
          words += "down";
          const bright = way(slopes);
          words += bright ? `: brighter is ${bright}.` : ": no way is brighter.";
          if (Number.isInteger(x)) {
            const before = said(read(x - 1e-6, y)[1]);
            words += ` On a kink: left of it the slope along x is ${before}.`;
          }
          if (Number.isInteger(y)) {
            const before = said(read(x, y - 1e-6)[2]);
            words += ` On a kink: above it the slope along y is ${before}.`;
          }
          return words;
        }
        const { loss, sum } = ask(model.get("shift"));
        const gone = model.get("target").map((value, k) => value + model.get("shift")[k]);
        const arrived = Math.hypot(...gone) < 0.02;
        const pulled = Math.hypot(...sum) > 0.01 * Math.hypot(...begin.sum);
        const where = pulled && !arrived ? `all points pull ${way(sum)}` : "they cancel";
        const goal = way(model.get("target"));
        return (
          `Loss ${said(loss)}. The arrows' sum is (${sum.map(said).join(", ")}): ${where}` +
          (goal && !arrived ? `; the target lies ${goal}.` : ".")
        );
      },
    });
  };
})();
